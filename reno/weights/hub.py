"""Asks the model hub which files a checkpoint has, at which commit.

If its main branch holds pickled weights only, the safetensors of a conversion are taken: the pull request that the
hub's own converter opened, if it is still open and its parent is the head of main. Then it holds main's weights in
another format. Any other pull request is the user's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint
from reno.weights.reading import ReadFiles, read_files

CONVERTER = "SFconvertbot"
"""The hub's account that offers pickled weights as safetensors."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Statuses of a hub that cannot answer now."""
PATIENCE = 10.0
"""Seconds to wait for the hub's first answer."""


@dataclass(frozen=True)
class Hub:
    """The hub that is asked, and the cache of what was fetched from it."""

    endpoint: str | None = None
    """Its address; None: the one in HF_ENDPOINT, else the public hub."""
    folder: Path | None = None
    """The cache; None: the hub library's own."""

    @property
    def address(self) -> str:
        from huggingface_hub import constants

        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    @property
    def cache(self) -> Path:
        from huggingface_hub import constants

        return self.folder or Path(constants.HF_HUB_CACHE)

    def page(self, name: str) -> str:
        """A checkpoint's page."""
        return f"{self.address}/{name}"

    def place(self, name: str) -> Path:
        """A checkpoint's folder in the cache."""
        return self.cache / f"models--{name.replace('/', '--')}"


@dataclass(frozen=True)
class HubFile:
    """One file of a repository."""

    name: str
    """Its path in the repository."""
    size: int | None
    """Bytes; None if the hub does not tell."""
    blob: str | None
    """Its name in the cache: the SHA-256 of its content for weights (the id of an LFS object), git's id for small
    files; None if the hub does not tell."""


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit that a loader reads."""

    name: str
    commit: str
    files: tuple[HubFile, ...]
    read: ReadFiles


def list_files(checkpoint: Checkpoint, where: str, parts: Sequence[str], hub: Hub) -> Listing:
    """The commit to load and the files that a loader of these parts reads of it.

    where: the knob that names the checkpoint, for the error. Raises BadInput if there are no weights in safetensors
    format, and the hub library's errors.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=hub.endpoint)
    found = _listing(api, checkpoint, checkpoint.revision, parts)
    if not found.read.lacking:
        return found
    refuse_other_precision(found.read, checkpoint, where)
    place, reason = f"revision {checkpoint.revision}", ""
    known = f"that you trust from {hub.page(checkpoint.path)}/discussions"
    if checkpoint.revision is None:
        place, reason = "the main branch", f", and {CONVERTER} has no open conversion of its head"
        try:
            conversion = _conversion(api, checkpoint, parts, main=found.commit)
        except (HfHubHTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason, known = f", and {_no_pull_requests(error, hub)}", "if you know of one"
        else:
            if conversion is not None:
                return conversion
    raise BadInput(
        f"{where}: {place} of {checkpoint.path} holds no weights in safetensors format{reason}; give a pull request "
        f"{known}: {where}.revision=refs/pr/NUMBER, or convert the weights and give the folder: {where}.path=FOLDER"
    )


def refuse_other_precision(read: ReadFiles, checkpoint: Checkpoint, where: str) -> None:
    """Raises BadInput if a part lacks the wanted weights and is stored in another precision."""
    if read.lacking and read.instead:
        parts = f" ({', '.join(part for part in read.lacking if part)})" if any(read.lacking) else ""
        raise BadInput(
            f"{where}: {checkpoint.path} is stored in {read.instead} only{parts}; give {where}.variant={read.instead}"
        )


def _listing(api, checkpoint: Checkpoint, revision: str | None, parts: Sequence[str]) -> Listing:
    info = api.model_info(checkpoint.path, revision=revision, files_metadata=True, timeout=PATIENCE)
    files = {one.rfilename: one for one in info.siblings or ()}
    read = read_files(files, parts, checkpoint.variant)
    return Listing(checkpoint.path, info.sha, tuple(_hub_file(files[name]) for name in read.all), read)


def _hub_file(sibling) -> HubFile:
    if sibling.lfs is None:
        return HubFile(sibling.rfilename, sibling.size, sibling.blob_id)
    return HubFile(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256)


def _conversion(api, checkpoint: Checkpoint, parts: Sequence[str], main: str) -> Listing | None:
    """The converter's open pull request on top of the commit `main`; None if there is none."""
    name = checkpoint.path
    requests = api.get_repo_discussions(
        name, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
    )
    for request in requests:
        if (request.author, request.status, request.is_pull_request) != (CONVERTER, "open", True):
            continue  # a mirror may not filter
        commits = [commit.commit_id for commit in api.list_repo_commits(name, revision=request.git_reference)]
        if commits[1:2] != [main]:
            continue
        proposal = _listing(api, checkpoint, request.git_reference, parts)
        if not proposal.read.lacking:
            return proposal
    return None


def _no_pull_requests(error: Exception, hub: Hub) -> str:
    """Why a hub lists no pull requests. Raises the error again if it says nothing of them: another try may succeed."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in BUSY:
        raise error
    if status == 403:
        return "its discussions are disabled, so no conversion can be looked for"
    return f"{hub.address} does not list its pull requests ({status or type(error).__name__})"
