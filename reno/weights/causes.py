"""Why the hub did not give a checkpoint, told apart, each with what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from reno.spec.errors import disk_is_full, typed_line
from reno.spec.job import Checkpoint
from reno.weights.hub import Hub

UNREACHABLE = {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol", "PoolTimeout"}
CUT = {"RemoteProtocolError", "ReadError", "ReadTimeout", "WriteError", "CloseError"}
"""Errors of the hub library's HTTP client, by name: its module differs from version to version."""


@dataclass(frozen=True)
class Cause:
    """Why something could not be had from the hub."""

    what: str
    remedy: str
    passing: bool = False
    """Whether it says nothing of the checkpoint: a lost connection, a busy server. Another try may succeed."""


def cause_of(error: BaseException, checkpoint: Checkpoint, hub: Hub) -> Cause:
    """The cause of an error of the hub's library, which may wrap another one."""
    for one in _chain(error):
        if found := _of_the_disk(one, hub) or _of_an_answer(one, checkpoint, hub) or _of_the_connection(one, hub):
            return found
    return Cause(f"it cannot be fetched ({typed_line(error)})", "run the same command again")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_the_disk(error: BaseException, hub: Hub) -> Cause | None:
    if disk_is_full(error):
        return Cause(f"the disk of {hub.cache} is full", "free some space, or set HF_HOME to a folder on another disk")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Cause(f"{hub.cache} cannot be written", "set HF_HOME to a folder that can be written")
    return None


def _of_an_answer(error: BaseException, checkpoint: Checkpoint, hub: Hub) -> Cause | None:
    """The cause that the hub's answer tells, by its status and the library's class."""
    from huggingface_hub import errors

    name, page = checkpoint.path, hub.page(checkpoint.path)
    if isinstance(error, errors.HFValidationError):
        return Cause(f"{name} is not a name that the hub can have", "check the name")
    if not isinstance(error, errors.HfHubHTTPError):
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError | errors.FileMetadataError):
            return Cause(
                f"{hub.address} does not answer as a model hub does ({typed_line(error)})",
                "check HF_ENDPOINT and the proxy",
            )
        return None
    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return Cause("it is gated", f"accept its licence at {page}, then type `hf auth login`")
    if isinstance(error, errors.RevisionNotFoundError):
        revision = checkpoint.revision or "main"
        return Cause(f"the hub has no revision {revision} of it", f"choose one at {page}/commits/main")
    if status == 401 and "authorization" in error.response.request.headers:
        return Cause(
            "the hub refuses your token (401): it has expired or was revoked",
            "type `hf auth login`, or take it away with `hf auth logout` and `unset HF_TOKEN`",
        )
    if status == 404 and isinstance(error, errors.EntryNotFoundError):
        return Cause("the hub lacks one of its files (404)", "run the same command again")
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return Cause(
            f"{hub.address} has no checkpoint of this name, or it is private",
            "check the name; if it is private, type `hf auth login`",
        )
    if status in (401, 403):
        return Cause(f"the hub does not let you read it ({status})", "type `hf auth login` with a token that may")
    if status == 429:
        return Cause(
            "the hub has had too many requests from here (429)",
            "wait some minutes; `hf auth login` raises the limit",
            passing=True,
        )
    if status >= 500:
        return Cause(f"the hub's server fails ({status})", "try again later", passing=True)
    return None


def _of_the_connection(error: BaseException, hub: Hub) -> Cause | None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return Cause(
            "HF_HUB_OFFLINE forbids asking the hub", "fetch it where there is a connection, or unset it", passing=True
        )
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & UNREACHABLE:
        return Cause(f"{hub.address} cannot be reached", "try again with a connection", passing=True)
    if names & CUT or "Consistency check failed" in str(error):
        return Cause("the connection was cut", "the same command fetches what is missing", passing=True)
    return None
