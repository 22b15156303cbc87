"""From a name to a folder: local folders, the hub's cache, commits, and the search for safetensors."""

from __future__ import annotations

import hashlib
import os
import shutil
from types import SimpleNamespace

import pytest

from reno.generators.stable_diffusion import FOLDERS
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint
from reno.weights.checkpoints import locate


def test_a_local_folder_is_known_by_its_contents_wherever_it_lies(tiny, tmp_path):
    shutil.copytree(tiny / "clip", tmp_path / "copy")
    here, there = locate(Checkpoint(str(tiny / "clip")), "x"), locate(Checkpoint(str(tmp_path / "copy")), "x")
    assert here.identity == there.identity and here.identity.startswith("sha256:")
    config = tmp_path / "copy" / "config.json"
    config.write_text(config.read_text().replace("quick_gelu", "gelu"))
    assert locate(Checkpoint(str(tmp_path / "copy")), "x").identity != here.identity


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
        locate(Checkpoint(str(tmp_path)), "models.checkpoints.clip")


def test_an_unreachable_hub_says_how_to_use_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match=r"models\.checkpoints\.clip\.path=FOLDER"):
        locate(Checkpoint("openai/no-such-model"), "models.checkpoints.clip")


def test_without_a_connection_the_newest_whole_snapshot_of_the_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--a--b"
    for age, (commit, file) in enumerate(
        [("partial", "config.json"), ("new", "model.safetensors"), ("old", "model.safetensors")]
    ):
        folder = place / "snapshots" / commit
        folder.mkdir(parents=True)
        (folder / file).touch()
        os.utime(folder, (1e9 - age, 1e9 - age))
    (place / "refs").mkdir()
    (place / "refs" / "v1").write_text("old")
    assert locate(Checkpoint("a/b"), "x").commit == "new"
    assert locate(Checkpoint("a/b", "v1"), "x").commit == "old"
    assert locate(Checkpoint("a/b", "old"), "x").identity == "a/b@old"
    with pytest.raises(BadInput, match="not in the cache"):
        locate(Checkpoint("a/b", "v2"), "x")


class Hub:
    """A stand-in for the hub's API: one repository, its main branch and one pull request."""

    def __init__(self, main, proposal=()):
        self.branches = {
            None: ("main-commit", main),
            "refs/pr/3": ("proposed-commit", proposal),
            "v1": ("v1-commit", main),
        }
        self.proposals = [SimpleNamespace(git_reference="refs/pr/3")] if proposal else []

    def model_info(self, name, revision=None):
        commit, files = self.branches[revision]
        return SimpleNamespace(sha=commit, siblings=[SimpleNamespace(rfilename=file) for file in files])

    def get_repo_discussions(self, name, author, discussion_type):
        assert (author, discussion_type) == ("SFconvertbot", "pull_request")
        return self.proposals


@pytest.fixture
def from_hub(monkeypatch, tmp_path):
    """from_hub(hub, checkpoint, folders): locates with the hub faked; what it downloads is recorded."""
    asked = []

    def go(hub, checkpoint, folders=("",)):
        def download(name, revision=None, allow_patterns=None, local_files_only=False):
            asked.append((revision, [pattern for pattern in allow_patterns if "safetensors" in pattern]))
            folder = tmp_path / "snapshots" / revision
            for file in asked[-1][1]:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder)

        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return locate(checkpoint, "models.x", folders), asked[-1]

    return go


def test_the_commit_that_was_loaded_is_the_identity(from_hub):
    located, asked = from_hub(Hub(["model.safetensors", "pytorch_model.bin"]), Checkpoint("a/b"))
    assert located.identity == "a/b@main-commit" and located.commit == "main-commit"
    assert asked == ("main-commit", ["model.safetensors"])


def test_a_revision_can_be_pinned(from_hub):
    located, asked = from_hub(Hub(["model.safetensors"]), Checkpoint("a/b", "v1"))
    assert located.commit == "v1-commit" and asked[0] == "v1-commit"


def test_where_main_holds_pickles_the_converters_pull_request_is_loaded(from_hub):
    located, _ = from_hub(Hub(["pytorch_model.bin"], ["model.safetensors"]), Checkpoint("a/b"))
    assert located.commit == "proposed-commit"


def test_where_there_are_only_pickles_it_is_refused(from_hub):
    with pytest.raises(BadInput, match="safetensors"):
        from_hub(Hub(["pytorch_model.bin"]), Checkpoint("a/b"))


def test_of_a_pipeline_only_the_parts_and_the_precision_that_are_loaded_are_fetched(from_hub):
    parts = [f"{part}/model.{kind}safetensors" for part in FOLDERS for kind in ("", "fp16.")]
    others = ["sd_turbo.safetensors", "safety_checker/model.safetensors"]
    located, asked = from_hub(Hub([*parts, *others]), Checkpoint("a/b", None, "fp16"), FOLDERS)
    assert located.variant == "fp16" and located.identity == "a/b@main-commit[fp16]"
    assert sorted(asked[1]) == sorted(f"{part}/model.fp16.safetensors" for part in FOLDERS)
