"""Models without weights, to know what they need before there is anything to load."""

from __future__ import annotations

from pathlib import Path

import torch


def model_without_weights(model_class, folder: Path, dtype: torch.dtype):
    """A frozen module of diffusers or transformers on the meta device, built from the folder's config.json alone."""
    with torch.device("meta"):
        if hasattr(model_class, "load_config"):  # diffusers
            model = model_class.from_config(model_class.load_config(folder, local_files_only=True))
        else:
            model = model_class(model_class.config_class.from_pretrained(folder, local_files_only=True))
    return torch.nn.Module.to(model, dtype).eval().requires_grad_(False)  # diffusers' own warns of what is not there
