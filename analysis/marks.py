"""What is between two marks of a README is written by a command, never by hand.

    marks = Marks("<!-- answer: made by `make readme-answer` -->", "<!-- end of the answer -->")
    marks.check(readme)              # before minutes of work
    marks.replace(readme, text)

A mark is a line of its own that Markdown does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reno.spec.errors import BadInput


@dataclass(frozen=True)
class Marks:
    """The lines between which a text is written."""

    begin: str
    end: str

    def check(self, readme: Path) -> None:
        """Raises BadInput if the README cannot be read or does not have both marks, in order, once."""
        self._around(readme)

    def replace(self, readme: Path, text: str) -> None:
        """Writes the text between the marks; the rest of the README stays. Raises BadInput as `check` does."""
        before, after = self._around(readme)
        whole = f"{before}{self.begin}\n{text}\n{self.end}{after}"
        readme.write_bytes(whole.encode("utf-8", "replace"))  # a prompt may hold bytes that are no text

    def _around(self, readme: Path) -> tuple[str, str]:
        """The text before the first mark and after the second."""
        try:
            text = readme.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise BadInput(f"{readme} cannot be read; give a page that has the marks") from None
        if text.count(self.begin) != 1 or text.count(self.end) != 1 or text.index(self.begin) > text.index(self.end):
            raise BadInput(f"{readme} needs the line {self.begin} and, below it, the line {self.end}, each once")
        return text.split(self.begin)[0], text.split(self.end)[1]


def markdown_rows(names: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table. names and rows: cells in which a pipe is escaped; numeric: set flush right."""
    rule = ["---:" if right else "---" for right in numeric]
    return ["| " + " | ".join(row) + " |" for row in (names, rule, *rows)]
