"""Copies README.md, docs/ and all files that they link to into a folder, at the same places, so that their links
work in the site as they do in the checkout.

    python scripts/stage_docs.py build/pages
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from reno import HOME
from reno.config.script import Options, a_path, run_script
from reno.letters.output import say
from reno.spec.errors import BadInput

LINK = re.compile(r'\]\(([^)\s]+)\)|<img src="([^"]+)"')


def linked(page: Path) -> list[Path]:
    """The files that a page of Markdown links to."""
    places = [a or b for a, b in LINK.findall(_prose(page.read_text()))]
    local = [place.partition("#")[0] for place in places if "://" not in place]
    return [(page.parent / place).resolve() for place in local if place]


def _prose(text: str) -> str:
    """The text without blocks and pieces of code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def pages(home: Path) -> list[Path]:
    """README.md, docs/ and whatever they lead to, each once. Raises BadInput for a link that leads nowhere."""
    wanted = [home / "README.md", *sorted((home / "docs").glob("*.md"))]
    found: dict[Path, None] = {}
    while wanted:
        page = wanted.pop()
        if page in found:
            continue
        if not page.is_file():
            raise BadInput(f"a page links to {page.relative_to(home)}, which is not there")
        found[page] = None
        wanted += linked(page) if page.suffix == ".md" else []
    return list(found)


def stage(home: Path, folder: Path) -> int:
    """Writes the pages of a checkout into a new folder; the number of files. Raises BadInput if something is there."""
    found = pages(home.resolve())
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} holds something; give a new folder")
    for page in found:
        copy = folder / page.relative_to(home.resolve())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, copy)
    return len(found)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = Options(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=a_path, help="a new folder, where the copies go")
    folder = options.parse_args(argv).folder
    say(f"{stage(HOME, folder)} files in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
