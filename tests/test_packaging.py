"""What is installed: the wheel's list of files, and a wheel that works from an empty folder. Citation and licence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from reno import HOME, INSTALLED, __version__
from reno.store.store import Store

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("reno", "analysis")
BESIDE = ("conf", "experiments")


def shipped() -> set[str]:
    """The files that an installed bench needs, by their names in the checkout."""
    paths = {path for folder in (*PACKAGES, *BESIDE) for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {
        path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts and path.name[0] != "."
    }


def in_a_wheel(name: str) -> str:
    return f"reno/{name}" if name.startswith(BESIDE) else name


def test_the_wheels_list_of_files_is_the_tree(monkeypatch):
    from setuptools.dist import Distribution  # before distutils, which it replaces
    from distutils.core import run_setup  # isort: skip

    monkeypatch.chdir(ROOT)
    distribution: Distribution = run_setup("setup.py", stop_after="init")
    distribution.parse_config_files()
    distribution.include_package_data = False  # what pyproject.toml lists, whatever a manifest says
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    data = {f"{package.replace('.', '/')}/{file}" for package, _, _, files in build.data_files for file in files}
    modules = {f"{package.replace('.', '/')}/{module}.py" for package, module, _ in build.find_all_modules()}
    assert {in_a_wheel(name) for name in shipped()} == data | modules
    assert len(data) > 100 and "reno/conf/config.yaml" in data and "reno/experiments/report.yaml" in data


def test_no_file_of_the_checkout_is_a_symbolic_link():
    """A checkout on Windows would have a text file in its place."""
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True)
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []
    assert not any(path.is_symlink() for folder in (*PACKAGES, *BESIDE) for path in (ROOT / folder).rglob("*"))


def test_this_is_a_checkout():
    assert not INSTALLED and HOME == ROOT


def test_version_licence_and_citation_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert PROJECT["version"] == citation["version"] == __version__
    assert PROJECT["license"] == citation["license"] == "MIT"
    (author,) = PROJECT["authors"]
    assert [author] == citation["authors"] and author["name"] in (ROOT / "LICENSE").read_text("utf-8")
    (paper,) = citation["references"]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2406.04312"}]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert PROJECT["urls"]["Paper"] == paper["url"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """The wheel of the checkout, and the wheel of its source distribution."""
    work = tmp_path_factory.mktemp("wheels")
    source = work / "source"  # a build leaves files in the folder that it builds
    source.mkdir()
    for name in (*PACKAGES, *BESIDE, "docs", "tests", "scripts", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, work / "one", source], check=True)
    make = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", make, work], cwd=source, check=True, capture_output=True)
    subprocess.run([*build, work / "two", next(work.glob("*.tar.gz"))], check=True)
    return {name: next((work / name).glob("*.whl")) for name in ("one", "two")}


@pytest.mark.slow
def test_a_wheel_and_one_from_the_source_distribution_hold_everything(wheels):
    needed = {in_a_wheel(name) for name in shipped()}
    for wheel in wheels.values():
        names = set(zipfile.ZipFile(wheel).namelist())
        assert {name for name in names if ".dist-info/" not in name} == needed
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_an_installed_wheel_works_in_an_empty_folder(wheels, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheels["one"]], check=True
    )
    around = {**os.environ, "PYTHONPATH": str(site)}

    def reno(*words: str) -> str:
        done = subprocess.run([site / "bin" / "reno", *words], cwd=empty, env=around, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "in a checkout only" in reno("--help")
    job = ("iterations=1", "threads=1", "tracking=disabled", "prompt='a red car'")
    reno("run", "-m", "+experiments=report", "metric=clip,blip", *job)
    trials = {trial.record.labels.metric: trial for trial in Store(empty / "results").whole()}
    assert set(trials) == {"clip", "blip"}
    provenance = trials["clip"].record.provenance
    assert provenance.git is None
    assert provenance.versions["reno-bench"] == __version__
    assert provenance.checkpoints.generator.source.startswith(str(site))
    assert "identical" in reno("reproduce", trials["clip"].id[:12])
    assert "2 trials judged" in reno("evaluate", "evaluators=oracle_analytic")
    assert "GiB" in reno("memory", "models=sd_turbo")
    reno("report", "results", "report")
    assert (empty / "report" / "report.pdf").is_file() and (empty / "report" / "index.html").is_file()
    assert sorted(path.name for path in empty.iterdir()) == ["report", "results"]
