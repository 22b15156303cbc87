"""Silences the bars and warnings of the model libraries; their logs go to the job's folder."""

from __future__ import annotations

import os


def quieten_libraries() -> None:
    """Call before the libraries are imported: each reads its variable only then."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
