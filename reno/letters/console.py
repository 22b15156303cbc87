"""rich's console for everything that is more than a line: tables and bars."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from reno.letters.harmless import visible
from reno.letters.output import silence


class PatientConsole(Console):
    """A console that goes on in silence if its output cannot be written, as when a reader has closed it; rich's own
    ends the process. Texts are printed as they are: nothing in them is markup or steers the terminal."""

    def __init__(self, stderr: bool = False, soft_wrap: bool = True) -> None:
        """soft_wrap: lines are not cut at the width of the terminal."""
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)

    @property
    def live(self) -> bool:
        """Whether a bar can move here: on a terminal that can go back in its line."""
        return self.is_terminal and not self.is_dumb_terminal

    def print(self, *objects: Any, **how: Any) -> None:
        try:
            super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **how)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        silence(sys.stderr if self.stderr else sys.stdout)
