"""From a name to a folder and an identity: local folders, the hub, and its cache."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from pathlib import Path

import pytest

from reno.generators.stable_diffusion import FOLDERS
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint
from reno.weights.checkpoints import CheckpointFinder, locate
from reno.weights.hub import Hub
from tests.weights.stand_in_hub import Repository, commit

KNOB = "models.checkpoints.clip"
FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"weights" * 9, "vocab.json": b"{}", "README.md": b"read"}
MAIN, LATER, PROPOSED = commit("main"), commit("later"), commit("proposed")


@pytest.fixture
def find(stand_in, tmp_path):
    """find(checkpoint, folders, fetching): asks the stand-in anew; what the finder told is in find.told."""

    def go(checkpoint=Checkpoint("a/b"), folders=("",), fetching=True):  # noqa: B008 (it is frozen)
        go.told.clear()
        stand_in.asked.clear()
        return CheckpointFinder(Hub(stand_in.address, tmp_path / "cache"), fetching, go.told.append)(
            checkpoint, KNOB, folders
        )

    go.told = []
    return go


@pytest.fixture
def model(stand_in) -> Repository:
    """a/b on the stand-in, with FILES on its main branch."""
    stand_in.models["a/b"] = Repository({MAIN: dict(FILES)}, {"main": MAIN, "v1": MAIN})
    return stand_in.models["a/b"]


def refused(find, *arguments) -> str:
    with pytest.raises(BadInput) as caught:
        find(*arguments)
    return str(caught.value)


# --- Local folders ----------------------------------------------------------------------------------------------------


def test_a_local_folder_is_known_by_its_contents_wherever_it_lies(tiny, tmp_path):
    shutil.copytree(tiny / "clip", tmp_path / "copy")
    here, there = locate(Checkpoint(str(tiny / "clip")), "x"), locate(Checkpoint(str(tmp_path / "copy")), "x")
    assert here.identity == there.identity and here.identity.startswith("sha256:")
    config = tmp_path / "copy" / "config.json"
    config.write_text(config.read_text().replace("quick_gelu", "gelu"))
    assert locate(Checkpoint(str(tmp_path / "copy")), "x").identity != here.identity


def test_what_is_not_read_changes_no_identity(tiny, tmp_path):
    shutil.copytree(tiny / "clip", tmp_path / "copy")
    for name in ("README.md", "notes.txt", "open_clip_config.json", "open_clip_model.safetensors", "model.bin"):
        (tmp_path / "copy" / name).write_bytes(b"x")
    assert (
        locate(Checkpoint(str(tmp_path / "copy")), "x").identity == locate(Checkpoint(str(tiny / "clip")), "x").identity
    )


def test_large_files_are_digested_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(b"x" * (33 << 20))
    first = locate(Checkpoint(str(tmp_path / "model")), "x").identity
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", lambda *_: pytest.fail("digested again"))
        assert locate(Checkpoint(str(tmp_path / "model")), "x").identity == first
    weights.write_bytes(b"y" * (33 << 20))
    assert locate(Checkpoint(str(tmp_path / "model")), "x").identity != first


def test_a_folder_of_pickles_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"no")
    with pytest.raises(BadInput, match="safetensors"):
        locate(Checkpoint(str(tmp_path)), KNOB)


def test_a_folder_in_another_precision_is_refused_with_the_knob_that_takes_it(tmp_path):
    for part, name in zip(FOLDERS, ("model", "model.fp16", "model"), strict=True):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"{name}.safetensors").touch()
    assert refused(locate, Checkpoint(str(tmp_path)), "models.generator", FOLDERS) == (
        f"models.generator: {tmp_path} is stored in fp16 only (unet); give models.generator.variant=fp16"
    )
    assert locate(Checkpoint(str(tmp_path), None, "fp16"), "models.generator", FOLDERS).variant == "fp16"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_cannot_be_read_is_named(tiny, tmp_path, monkeypatch, name):
    shutil.copytree(tiny / "clip", tmp_path / "copy")
    _unreadable(monkeypatch, name)
    assert refused(locate, Checkpoint(str(tmp_path / "copy")), KNOB) == (
        f"{KNOB}: {tmp_path / 'copy' / name} cannot be read (Permission denied); make it readable, or give another "
        f"checkpoint: {KNOB}.path=FOLDER"
    )


def test_so_is_one_of_the_cache(find, model, monkeypatch):
    place = find().folder / "vocab.json"
    _unreadable(monkeypatch, "vocab.json")
    assert refused(find).startswith(f"{KNOB}: {place} cannot be read (Permission denied); make it readable")


def _unreadable(monkeypatch, name):
    """Makes files of this name unreadable, for the superuser too."""
    read = Path.read_bytes

    def denied(path):
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)


def test_a_revision_of_a_folder_is_refused(tiny):
    said = refused(locate, Checkpoint(str(tiny / "clip"), "abc"), KNOB)
    assert said.startswith(f"{KNOB}.revision=abc belongs to no checkpoint") and "is a folder" in said


# --- The hub ----------------------------------------------------------------------------------------------------------


def test_only_what_a_loader_reads_is_fetched_and_the_size_is_said_before(find, model, stand_in, tmp_path):
    unread = {"open_clip_model.safetensors": b"o" * 999, "pytorch_model.bin": b"p", "open_clip_config.json": b"{}"}
    model.commits[MAIN] |= unread
    located = find()
    assert stand_in.fetched() == {"config.json", "model.safetensors", "vocab.json"}
    assert find.told == [f"fetching a/b, 73 B -> {tmp_path / 'cache'}"]
    assert located.commit == located.folder.name == MAIN and located.to_fetch is None
    assert (located.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert find() == located and find.told == [] and not stand_in.fetched()


class Terminal(io.StringIO):
    """A terminal that somebody reads, or has closed."""

    closed_by_its_reader = False

    def isatty(self):
        return True

    def write(self, text):
        if self.closed_by_its_reader:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_bar_moves_on_a_terminal_that_can_go_back(find, model, monkeypatch, term, drawn):
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    find()
    assert ("\x1b" in terminal.getvalue()) == drawn and bool(terminal.getvalue()) == drawn


def test_a_terminal_that_is_closed_ends_no_download(find, model, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    terminal.closed_by_its_reader = True
    monkeypatch.setattr("sys.stderr", terminal)
    assert (find().folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_finder_asks_for_a_checkpoint_once(stand_in, model, tmp_path):
    finder = CheckpointFinder(Hub(stand_in.address, tmp_path), tell=lambda _: None)
    assert finder(Checkpoint("a/b"), "x") is finder(Checkpoint("a/b"), "y")
    assert stand_in.asked.count("GET /api/models/a/b") == 1


def test_a_copy_of_a_snapshot_has_its_identity(find, model, tmp_path):
    located = find()
    shutil.copytree(located.folder, tmp_path / "copy")  # without the cache's links
    assert locate(Checkpoint(str(tmp_path / "copy")), KNOB).identity == located.identity
    assert located.identities == (located.identity, f"a/b@{MAIN}")


def test_a_new_readme_on_main_changes_no_identity_and_fetches_nothing(find, model, stand_in):
    before = find()
    model.commits[LATER] = {**FILES, "README.md": b"a new one", "pytorch_model.bin": b"p"}
    model.branches["main"] = LATER
    assert find() == before and not stand_in.fetched()
    assert find(fetching=False) == before
    model.commits[LATER]["vocab.json"] = b'{"a": 0}'
    after = find()
    assert (after.commit, stand_in.fetched()) == (LATER, {"config.json", "model.safetensors", "vocab.json"})
    assert after.identity != before.identity


def test_a_revision_can_be_pinned(find, model):
    model.commits[LATER] = {**FILES, "model.safetensors": b"other"}
    model.branches["main"] = LATER
    assert (find(Checkpoint("a/b", "v1")).commit, find(Checkpoint("a/b", MAIN)).commit) == (MAIN, MAIN)
    assert find().commit == LATER


def test_of_a_pipeline_each_part_is_fetched_in_the_precision_that_it_has(find, stand_in):
    weights = ["text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
               "vae/diffusion_pytorch_model.safetensors"]  # fmt: skip
    unread = ["text_encoder/model.safetensors", "sd_turbo.safetensors", "safety_checker/model.safetensors"]
    files = {name: name.encode() for name in (*weights, *unread, *(f"{part}/config.json" for part in FOLDERS))}
    stand_in.models["a/b"] = Repository({MAIN: files}, {"main": MAIN})
    located = find(Checkpoint("a/b", None, "fp16"), FOLDERS)
    assert {name for name in stand_in.fetched() if "safetensors" in name} == set(weights)
    assert located.variant == "fp16" and located.identities[1] == f"a/b@{MAIN}[fp16]"


def test_of_a_part_that_is_one_file_that_file_alone_is_fetched(find, stand_in):
    """As Hyper-SDXL's U-Net is published."""
    files = {"one.safetensors": b"1", "two.safetensors": b"2" * 99, "config.json": b"{}", "three.bin": b"3"}
    stand_in.models["a/b"] = Repository({MAIN: files}, {"main": MAIN})
    located = find(Checkpoint("a/b", inside="one.safetensors"), ("one.safetensors",))
    assert stand_in.fetched() == {"one.safetensors"} and (located.folder / "one.safetensors").read_bytes() == b"1"
    assert locate(Checkpoint(str(located.folder)), KNOB, ("one.safetensors",)).identity == located.identity
    assert refused(find, Checkpoint("a/b"), ("four.safetensors",)).startswith(
        f"{KNOB}: the main branch of a/b holds no weights in safetensors format"
    )


def test_a_mirror_that_tells_no_sizes_is_fetched_from(find, model, stand_in):
    model.knows_metadata = False
    assert str(find(fetching=False).to_fetch) == "a/b, of unknown size"
    located = find()
    assert located.commit == MAIN and "fetching a/b, of unknown size" in find.told[0]
    assert find(fetching=False) == located == find() and not stand_in.fetched()


# --- A dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_size_and_fetches_nothing(find, model, stand_in, tmp_path):
    model.sizes = {"model.safetensors": 3_944_517_836}
    model.commits[MAIN]["open_clip_model.safetensors"] = b"o"
    planned = find(fetching=False)
    assert str(planned.to_fetch) == "a/b, 3.94 GB" and planned.identity == "not fetched: a/b"
    assert stand_in.asked == ["GET /api/models/a/b"] and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("offline", [True, False])
def test_a_dry_run_needs_no_hub(find, stand_in, tmp_path, monkeypatch, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    told = []
    nowhere = Hub("http://127.0.0.1:9", tmp_path)
    planned = CheckpointFinder(nowhere, fetching=False, tell=told.append)(Checkpoint("a/b"), KNOB)
    why = "HF_HUB_OFFLINE forbids asking the hub" if offline else "http://127.0.0.1:9 cannot be reached"
    assert (str(planned.to_fetch), told) == (f"a/b, of unknown size: {why}", [])  # the dry run says it, once


def test_a_dry_run_refuses_what_a_run_refuses(find, model):
    assert "no checkpoint of this name" in refused(find, Checkpoint("a/c"), ("",), False)
    model.sizes = {"model.safetensors": 10**18}
    assert refused(find, Checkpoint("a/b"), ("",), False) == refused(find)


# --- Pickles on main: the conversion ----------------------------------------------------------------------------------


@pytest.fixture
def pickled(model) -> Repository:
    """a/b with pickles on main, and the converter's open pull request on top of it."""
    model.commits = {
        MAIN: {"config.json": b"{}", "pytorch_model.bin": b"p"},
        PROPOSED: {"config.json": b"{}", "pytorch_model.bin": b"p", "model.safetensors": b"s"},
        LATER: {"config.json": b"{}", "pytorch_model.bin": b"q"},
    }
    model.branches = {"main": MAIN, "refs/pr/3": PROPOSED}
    model.parents = {PROPOSED: MAIN}
    model.requests = [{"num": 3, "author": "SFconvertbot", "status": "open"}]
    return model


def test_where_main_holds_pickles_the_converters_pull_request_is_loaded(find, pickled):
    assert find().commit == PROPOSED


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.requests[0].update(status="closed"),
        lambda model: model.requests[0].update(author="someone"),
        lambda model: model.branches.update(main=LATER),  # main has moved on: its weights may be others
        lambda model: model.commits[PROPOSED].pop("model.safetensors"),
        lambda model: model.requests.clear(),
    ],
)
def test_any_other_pull_request_is_named_as_the_users_choice(find, pickled, stand_in, change):
    change(pickled)
    assert refused(find) == (
        f"{KNOB}: the main branch of a/b holds no weights in safetensors format, and SFconvertbot has no open "
        f"conversion of its head; give a pull request that you trust from {stand_in.address}/a/b/discussions: "
        f"{KNOB}.revision=refs/pr/NUMBER, or convert the weights and give the folder: {KNOB}.path=FOLDER"
    )


def test_a_pull_request_of_ones_choice_is_loaded_and_found_again_without_the_hub(find, pickled, monkeypatch):
    pickled.branches["main"] = LATER
    chosen = Checkpoint("a/b", "refs/pr/3")
    assert find(chosen).commit == PROPOSED
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find(chosen).commit == PROPOSED


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((403, {"X-Error-Message": "Discussions are disabled for this repo"}), "its discussions are disabled"),
        ((404, {}), "does not list its pull requests (404)"),
        ((200, {"body": "<html>"}), "does not list its pull requests (JSONDecodeError)"),
        ((200, {"body": "{}"}), "does not list its pull requests (KeyError)"),
    ],
)
def test_a_hub_that_lists_no_pull_requests_is_told_apart(find, pickled, answer, says):
    pickled.refuses["discussions"] = answer
    said = refused(find)
    assert says in said and f"give a pull request if you know of one: {KNOB}.revision=refs/pr/NUMBER" in said


def test_a_busy_hub_is_not_taken_for_one_without_pull_requests(find, pickled):
    pickled.refuses["discussions"] = (503, {})
    assert "server fails (503); try again later" in refused(find)


# --- Why the hub gives nothing ----------------------------------------------------------------------------------------

CAUSES = {
    "rate limit": ((429, {}), "too many requests from here (429); wait some minutes"),
    "server": ((503, {}), "the hub's server fails (503); try again later"),
    "gated": ((403, {"X-Error-Code": "GatedRepo"}), "gated; accept its licence at {page}, then type `hf auth login`"),
    "no revision": ((404, {"X-Error-Code": "RevisionNotFound"}), "has no revision main of it; choose one at {page}/"),
    "no such repository": ((401, {"X-Error-Code": "RepoNotFound"}), "has no checkpoint of this name, or it is private"),
    "forbidden": ((403, {}), "does not let you read it (403); type `hf auth login`"),
    "no hub": ((200, {"body": "<html>"}), "does not answer as a model hub does (JSONDecodeError"),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_causes_are_told_apart_and_a_whole_snapshot_is_used_whatever_the_cause(find, model, stand_in, cause):
    answer, says = CAUSES[cause]
    model.refuses["info"] = answer
    said = refused(find)
    assert says.format(page=f"{stand_in.address}/a/b") in said and said.count("\n") == 0
    assert said.startswith(f"{KNOB}: a/b is not in the cache, and ") and said.endswith(f"give {KNOB}.path=FOLDER")
    model.refuses.clear()
    fetched = find()
    model.refuses["info"] = answer
    assert find() == fetched
    (note,) = find.told
    assert note.startswith(f"note: {KNOB}: a/b: ") and note.endswith(
        f"the copy in the cache is used, commit {MAIN[:12]}"
    )


def test_a_refused_token_is_told_apart_from_a_name_that_is_not_there(find, model, stand_in, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    model.refuses["info"] = (401, {"X-Error-Message": "User Access Token is expired"})
    said = refused(find)
    assert "the hub refuses your token (401): it has expired or was revoked; type `hf auth login`" in said
    assert "hf_expired" not in said and stand_in.tokens == {"Bearer hf_expired"}


def test_a_file_that_may_not_be_read_is_gated_too(find, model):
    model.refuses["file"] = (403, {"X-Error-Code": "GatedRepo"})
    assert "it is gated" in refused(find)


def test_a_cut_connection_is_told(find, model):
    model.cuts.add("info")
    assert "the connection was cut; the same command fetches what is missing" in refused(find)


@pytest.mark.slow
def test_a_connection_that_is_cut_within_a_file_is_told_and_the_same_command_goes_on(find, model, stand_in):
    model.cuts.add("object")
    assert "the connection was cut" in refused(find)
    model.cuts.clear()
    assert find().commit == MAIN


def test_a_disk_without_room_is_told_before_the_download(find, model, stand_in, tmp_path):
    model.sizes = {"model.safetensors": 10**18}
    said = refused(find)
    assert said.startswith(f"{KNOB}: a/b needs 1e+06 TB and the disk of {tmp_path / 'cache'} has ")
    assert "set HF_HOME to a folder on another disk" in said and not stand_in.fetched()


def test_an_unreachable_hub_says_how_to_use_a_folder(tmp_path, stand_in):
    finder = CheckpointFinder(Hub("http://127.0.0.1:9", tmp_path))
    assert refused(finder, Checkpoint("openai/no-such-model"), KNOB) == (
        f"{KNOB}: openai/no-such-model is not in the cache, and http://127.0.0.1:9 cannot be reached; try again with a "
        f"connection, or copy it to a folder and give {KNOB}.path=FOLDER"
    )


# --- The cache --------------------------------------------------------------------------------------------------------


def test_without_a_connection_the_newest_whole_snapshot_of_the_cache_is_used(tmp_path):
    place = tmp_path / "models--a--b"
    files = ("config.json", "model.safetensors")
    for age, (name, kept) in enumerate(
        [("no-weights", files[:1]), ("no-config", files[1:]), ("new", files), ("old", files)]
    ):
        folder = place / "snapshots" / name
        folder.mkdir(parents=True)
        for file in kept:
            (folder / file).touch()
        os.utime(folder, (1e9 - age, 1e9 - age))
    (place / "refs").mkdir()
    (place / "refs" / "v1").write_text("old")
    finder = CheckpointFinder(Hub(None, tmp_path), tell=lambda _: None)  # tests/conftest.py sets HF_HUB_OFFLINE
    assert finder(Checkpoint("a/b"), "x").commit == "new"
    assert finder(Checkpoint("a/b", "v1"), "x").commit == "old"
    assert finder(Checkpoint("a/b", "old"), "x").identities[1] == "a/b@old"
    assert "HF_HUB_OFFLINE forbids asking the hub" in refused(finder, Checkpoint("a/b", "v2"), "x")
