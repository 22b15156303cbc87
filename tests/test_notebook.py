"""The notebook for Colab: it is what its script makes, its words are those of the commands, and it runs, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reno.config.compose import composed
from reno.config.conf import Conf
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.store.store import Store
from scripts.make_notebook import CELLS, CODE, PLACE, main, notebook
from tests.commands.test_from_the_hub import served
from tests.weights.stand_in_hub import StandInHub, commit

ROOT = Path(__file__).resolve().parent.parent


def test_the_notebook_is_what_its_script_makes(tmp_path, capsys):
    made = tmp_path / "new" / "colab.ipynb"
    assert main(["--out", str(made)]) == 0 and str(made) in capsys.readouterr().out
    assert PLACE.read_text("utf-8") == notebook() == made.read_text("utf-8"), "run python scripts/make_notebook.py"


def test_every_code_cell_is_python_but_for_its_commands_and_names_are_distinct():
    names = [name for _, name, _ in CELLS]
    assert len(set(names)) == len(names)
    for kind, name, source in CELLS:
        if kind == CODE:
            lines = source.strip("\n").splitlines()
            commands = [line for line in lines if line.lstrip().startswith("!")]
            plain = [f"{line[: len(line) - len(line.lstrip())]}pass" if line in commands else line for line in lines]
            compile("\n".join(plain), name, "exec")


def test_the_colab_study_is_the_main_sweep_on_real_models_with_their_judges():
    def composed_as(*words):
        parsed = parse(RUN, words)
        return job_from_config(composed(RUN, parsed), parsed.conf)

    job = composed_as("+experiments=colab")
    assert (job.models, job.prompt_set, len(job.prompts), job.seeds) == ("sd_turbo", "report", 12, (42,))
    assert [judge.name for judge in job.evaluators] == ["blip_vqa", "detector_open"] and job.usual_judges
    assert (job.settings.optimizer, job.settings.iterations, job.batch_size) == ("adam", 50, 4)


# --- From beginning to end --------------------------------------------------------------------------------------------

NAMES = {
    "clip": ("metric", "clip"), "blip": ("metric", "blip"), "blip_vqa": ("evaluator", "blip_vqa"),
    "owlv2": ("evaluator", "detector_open"), "clip_vit_l": ("evaluator", "detector_open"),
}  # fmt: skip
"""Each checkpoint that the study loads, and the file of conf/ that names it."""


@pytest.fixture
def hub(tiny):
    """The published names, at the commits that conf/ pins, with tiny weights."""
    server = StandInHub()
    generator = Conf().named("models", "models", "sd_turbo").values["generator"]
    entries = {"sd_turbo": generator}
    for name, (group, file) in NAMES.items():
        entries[name] = Conf().named(group, group, file).values["checkpoints"][name]
    for name, entry in entries.items():
        server.models[entry["path"]] = served(tiny / name, entry["revision"] or commit(name))
    yield server
    server.close()


def cells_of(**settings: str) -> dict:
    """The notebook with another first cell, which a user edits."""
    cells = json.loads(PLACE.read_text("utf-8"))
    (first, *_) = [cell for cell in cells["cells"] if cell["cell_type"] == "code"]
    source = "".join(first["source"])
    for name, value in settings.items():
        line = next(line for line in source.splitlines() if line.startswith(f"{name} = "))
        source = source.replace(line, f"{name} = {value!r}")
    first["source"] = source
    return cells


def printed_by(cells: dict, folder: Path) -> str:
    """Runs a notebook in a folder with a kernel of its own. Answers with all that its cells printed. Raises if a cell
    fails."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(json.dumps(cells), as_version=4)
    nbformat.validate(book)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or str(output.get("data", {}).get("text/markdown", "")) for output in outputs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_notebook_runs_from_beginning_to_end_and_again_after_a_disconnect(hub, tmp_path, monkeypatch):
    """The first session installs from a zip, the second from a clone. Only the results outlive the first."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    archive = tmp_path / "bench.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in filter(None, listed):
            file.write(ROOT / name, f"reno-bench-main/{name}")
    study = "-m +experiments=colab metric=clip,blip lr=0.05 limit=2 iterations=2 threads=1"
    drive = tmp_path / "drive"
    said = []
    for number, source in enumerate(({"ARCHIVE": str(archive)}, {"REPOSITORY": str(ROOT)})):
        session = tmp_path / f"session{number}"
        session.mkdir()
        (session / "reno-bench-results").symlink_to(drive, target_is_directory=True)
        drive.mkdir(exist_ok=True)
        site = session / "site"  # the notebook's pip installs here, and takes the dependencies that are there
        for name, value in {
            "PIP_TARGET": str(site), "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1",
            "PATH": os.pathsep.join([str(site / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(site), *(path for path in sys.path if Path(path) != ROOT and path)]),
            "HF_ENDPOINT": hub.address, "HF_HOME": str(session / "hf"), "IPYTHONDIR": str(session / "ipython"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        said.append(printed_by(cells_of(STUDY=study, **source), session))
        assert (site / "reno" / "conf" / "config.yaml").is_file()  # what ran is what was installed
    first, again = said
    assert "0 trials are stored in" in first and "4 trials are stored in" in again
    assert "4 trials, 0 stored, 4 new" in first and "4 trials, 4 stored, 0 new" in again
    assert ", 0 differs, " in first and "(blip_vqa)" in first
    assert "are stored already" in again
    stored = list(Store(drive / "results"))
    assert len(stored) == 4
    assert all(set(trial.judgements()) == {"blip_vqa", "detector_open"} for trial in stored)
    report = drive / "report"
    assert (report / "index.html").is_file() and (report / "report.pdf").is_file() and list((report / "pics").iterdir())
    assert "ReNO improves binding" in again
