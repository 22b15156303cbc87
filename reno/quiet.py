"""The terminal is this program's: what the model libraries have to say goes elsewhere."""

from __future__ import annotations

import os


def quieten_libraries() -> None:
    """Loading bars and advice of the model libraries are not this program's output; their logs go to the job's
    folder."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
