"""Make the notebook that runs the bench on Colab or Kaggle, from the cells below.

    python scripts/make_notebook.py                   # writes notebooks/colab.ipynb
    python scripts/make_notebook.py --out FILE

The notebook is a thin one: it installs the bench, and its cells are commands that also work in a terminal. A test says
that the file is what this script makes, and another runs it from beginning to end, twice.
"""

from __future__ import annotations

if __name__ == "__main__":  # a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import json
import sys
from pathlib import Path

from reno.config.script import Options, a_path, run_script
from reno.letters.output import say

PLACE = Path(__file__).resolve().parent.parent / "notebooks" / "colab.ipynb"

TEXT, CODE = "markdown", "code"

CELLS = (
    (TEXT, "title", """
# ReNO on a free GPU

This notebook optimises the noise of SD-Turbo against CLIP and BLIP, lets two judges say whether each colour landed on
its object, and makes the report. It runs on Colab and on Kaggle, on one T4 GPU: *Runtime > Change runtime type > T4*
(Kaggle: *Settings > Accelerator*, and *Internet* on).

The sweep is `+experiments=colab`: 2 metrics x 2 learning rates x 12 prompts, 50 iterations each. It needs 9.5 GiB of
the T4's 14.56 GiB, downloads 7.9 GB of weights, writes 250 MB, and takes between half an hour and an hour. These
numbers are predicted; they were not measured on a T4.

**Disconnected?** Open the notebook again and run all cells. What is stored is not made again.
"""),
    (CODE, "settings", """
# Fill in one of these two.
REPOSITORY = ""  # the address of the bench, as `git clone` takes it
ARCHIVE = ""     # or a file that you uploaded: a zip of the checkout, or a wheel

# Words of `reno run`. The student's report: "+experiments=report models=sd_turbo"
STUDY = "-m +experiments=colab"
DRIVE = True     # on Colab: keep the results in your Google Drive, so that a disconnect loses nothing
WANDB = False    # True: show the trials in Weights & Biases; you are asked for your key
"""),
    (TEXT, "where", """
## Where the results are kept

On Colab in your Drive. On Kaggle in `/kaggle/working`: choose *Persistence: Files only* under *Session options*, so
that they are there the next time.
"""),
    (CODE, "folders", """
import sys
from pathlib import Path

if DRIVE and "google.colab" in sys.modules:
    from google.colab import drive

    drive.mount("/content/drive")
    HOME = Path("/content/drive/MyDrive/reno-bench")
else:
    HOME = Path("reno-bench-results").absolute()
RESULTS, REPORT = HOME / "results", HOME / "report"
RESULTS.mkdir(parents=True, exist_ok=True)
print(f"{len(list(RESULTS.glob('trials/*')))} trials are stored in {RESULTS}")
"""),
    (TEXT, "install", """
## Install

The torch that is there stays: it is the one that fits this machine's GPU.
"""),
    (CODE, "installing", """
!nvidia-smi -L || echo "there is no GPU: choose one under Runtime > Change runtime type"
!python -c "import torch; print('torch==' + torch.__version__)" > torch.txt
if REPOSITORY:
    !test -d bench || git clone --quiet "{REPOSITORY}" bench
    SOURCE = Path("bench").absolute()  # pip takes a bare name for a package of its index
elif ARCHIVE.endswith(".whl"):
    SOURCE = Path(ARCHIVE).absolute()
elif ARCHIVE:
    !python -m zipfile -e "{ARCHIVE}" bench
    SOURCE = min(Path("bench").rglob("pyproject.toml"), key=lambda path: len(path.parts)).parent.absolute()
else:
    raise ValueError("give REPOSITORY or ARCHIVE in the first cell")
!pip install --quiet --constraint torch.txt "{SOURCE}"
if _exit_code:
    raise RuntimeError("the bench is not installed; the lines above say why")
"""),
    (TEXT, "check", """
## Are the weights read right?

This fetches the weights and compares what the models say with published values. A row that says `differs` is a reason
to stop.
"""),
    (CODE, "checking", """
!reno check models=sd_turbo download=all
"""),
    (TEXT, "run", """
## Run

First what would run, then the run. It prints each trial, a table of all jobs, and what to do next.
"""),
    (CODE, "planning", """
!reno run {STUDY} results="{RESULTS}" dry_run=true
"""),
    (CODE, "login", """
if WANDB:
    import wandb

    wandb.login()
"""),
    (CODE, "running", """
!reno run {STUDY} results="{RESULTS}"
"""),
    (TEXT, "pictures", """
## The pictures

For each prompt the image before, and the best one of each job. A green number: how many of its bindings are right.
"""),
    (CODE, "showing", """
from IPython.display import Image, display

sheets = sorted((RESULTS / "jobs").rglob("contact_sheet.png"), key=lambda path: path.stat().st_mtime)
display(Image(filename=str(sheets[-1])))
"""),
    (TEXT, "report", """
## The report

The page, the PDF, the tables and the figures are in the folder `report` beside the results; `pics/` has the images of
each prompt. Download the folder to open `index.html`.
"""),
    (CODE, "reporting", """
!reno report results="{RESULTS}" out="{REPORT}"
"""),
    (CODE, "tables", """
from IPython.display import Markdown

for page in (*sorted(REPORT.glob("tables/1_headline*.md")), REPORT / "claims.md"):
    display(Markdown(page.read_text()))
"""),
)  # fmt: skip
"""The cells in order: kind, id and source."""


def notebook() -> str:
    """The notebook's file, in Jupyter's format 4.5."""
    cells = [_cell(kind, name, source.strip("\n")) for kind, name, source in CELLS]
    metadata = {
        "accelerator": "GPU",
        "colab": {"gpuType": "T4", "provenance": []},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _cell(kind: str, name: str, source: str) -> dict:
    cell = {"cell_type": kind, "id": name, "metadata": {}, "source": source.splitlines(keepends=True)}
    return cell if kind == TEXT else {**cell, "execution_count": None, "outputs": []}


def main(arguments: list[str] | None = None) -> int:
    """Writes the notebook. Returns the exit status."""
    return run_script(lambda: _make(arguments))


def _make(arguments: list[str] | None) -> int:
    parser = Options(description="Make the notebook that runs the bench on Colab or Kaggle.")
    parser.add_argument(
        "--out", type=a_path, default=PLACE, metavar="FILE", help=f"where to write it (default {PLACE})"
    )
    place = parser.parse_args(arguments).out
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(notebook(), encoding="utf-8")
    say(f"notebook  {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
