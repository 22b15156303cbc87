"""Texts in the form that W&B takes, and counts in words."""

from __future__ import annotations

import re


def label(text: str, limit: int) -> str | None:
    """A text as a name in W&B: one line of at most `limit` characters; None, W&B's default, if it is empty."""
    return " ".join(text.split())[:limit] or None


def artifact_name(text: str) -> str:
    """A text as the name of an artifact: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:100].strip("-") or "results"


def counted(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
