"""What a trial's record says of the code: the commit of a checkout, or the digest of an installed copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reno.running.provenance import code_digest, git_diff, git_state


@pytest.fixture
def project(tmp_path) -> Path:
    """A repository with a file, and with env/ left out of it."""
    (tmp_path / "reno").mkdir()
    (tmp_path / "reno" / "__init__.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text("env/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], cwd=folder, env={**os.environ, **who}, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_a_checkout_is_its_commit_and_its_changes(project):
    state = git_state(project)
    assert state.commit == git(project, "rev-parse", "HEAD") and state.diff is None and git_diff(project) == b""
    (project / "reno" / "__init__.py").write_text("a = 2\n")
    assert len(git_state(project).diff) == 64 and b"+a = 2" in git_diff(project)


def test_git_is_asked_once_whether_it_keeps_the_code(project, tmp_path_factory, monkeypatch):
    real, tools = shutil.which("git"), tmp_path_factory.mktemp("tools")
    (tools / "git").write_text(f'#!/bin/sh\necho "$1" >> {tools}/asked\nexec {real} "$@"\n')
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    assert git_state(project) == git_state(project) and git_diff(project) == b""
    assert (tools / "asked").read_text().split() == ["ls-files", *["rev-parse", "diff"] * 2, "diff"]


def test_an_installed_copy_has_no_commit_of_the_project_that_it_lies_in(project):
    shutil.copytree(project / "reno", project / "env" / "reno")
    assert git_state(project / "env") is None and git_diff(project / "env") == b""
    assert git_state(project / "nowhere") is None


def test_the_digest_is_that_of_the_code_wherever_it_lies(tmp_path):
    files = {"reno/run.py": "run", "reno/fit/run.py": "fit", "conf/config.yaml": "lr: 1", "experiments/a.yaml": "a"}
    for name, text in files.items():
        for place in (
            tmp_path / "checkout" / name,
            tmp_path / "site" / (name if name[:4] == "reno" else f"reno/{name}"),
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    checkout, site = tmp_path / "checkout", tmp_path / "site"
    before = code_digest(checkout / "reno", checkout)
    assert len(before) == 64 and code_digest(site / "reno", site / "reno") == before
    (checkout / "reno" / "run.pyc").write_text("no code")
    code_digest.cache_clear()
    assert code_digest(checkout / "reno", checkout) == before
    for name in files:
        (checkout / name).write_text("changed")
        code_digest.cache_clear()
        assert code_digest(checkout / "reno", checkout) != before
        before = code_digest(checkout / "reno", checkout)
