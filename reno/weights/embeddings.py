"""Embeddings of prompts: text encoders are loaded for the prompts that are new, and let go before anything else is.

A text encoder may be larger than what makes the image (T5-XXL: 9.5 GB), and each prompt needs it once. So embeddings
are kept in files, one for each prompt, under $RENO_CACHE, else in reno-bench/ of the user's cache folder. A file's name
is the digest of everything that decides its content: the text encoders' and tokenizers' files, their options, the
prompt, dtype, device, threads and the versions of the libraries. So a job has the same embeddings to the last bit
whether they were kept or not. A file that is damaged counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch

from reno import cache_folder
from reno.device.residence import release
from reno.weights.identity import identity_of
from reno.weights.reading import files_in, read_files

log = logging.getLogger(__name__)

VERSION = "1"
"""Raise it with every change of the code that turns a prompt into embeddings."""
Encoded: TypeAlias = tuple[torch.Tensor, ...]
"""The embeddings of B prompts: tensors (B, ...), each of a shape that is the same for every prompt."""
Encoder: TypeAlias = Callable[[str], Encoded]
"""Loaded text encoders: one prompt to its embeddings, B = 1."""


class Embeddings:
    """Prompts to their embeddings, by text encoders that are in memory only while a new prompt is read."""

    def __init__(self, load: Callable[[], Encoder], key: Mapping[str, Any], device: torch.device):
        """load: loads the text encoders onto the device. key: what decides an embedding besides the prompt, as JSON
        values."""
        self.load, self._key, self.device = load, dict(key), device
        self._kept: dict[str, Encoded] = {}

    def missing(self, prompts: Iterable[str]) -> list[str]:
        """The prompts, each once, whose embeddings are neither in memory nor in a file. Those in a file are read."""
        asked = dict.fromkeys(prompt for prompt in prompts if prompt not in self._kept)
        if self.device.type == "meta":
            return list(asked)
        for prompt in asked:
            if (found := _read(self._file(prompt))) is not None:
                self._kept[prompt] = found
        return [prompt for prompt in asked if prompt not in self._kept]

    @torch.no_grad()
    def read(self, prompts: Iterable[str]) -> None:
        """Encodes the prompts that are missing. Each is encoded by itself, so that its numbers do not depend on which
        others were missing."""
        missing = self.missing(prompts)
        if not missing:
            return
        encode = self.load()
        if self.device.type == "meta":  # without values, the embeddings of one prompt are those of any
            self._kept |= dict.fromkeys(missing, encode(missing[0]))
            return
        for prompt in missing:
            self._kept[prompt] = tuple(tensor.cpu().contiguous() for tensor in encode(prompt))
            _write(self._file(prompt), self._kept[prompt])
        del encode
        release(self.device)

    def __call__(self, prompts: Sequence[str]) -> Encoded:
        """The embeddings of B prompts on the device, (B, ...) each."""
        self.read(prompts)
        columns = zip(*(self._kept[prompt] for prompt in prompts), strict=True)
        return tuple(torch.cat(column).to(self.device) for column in columns)

    def _file(self, prompt: str) -> Path:
        values = json.dumps({**self._key, "prompt": prompt}, sort_keys=True)
        name = hashlib.sha256(values.encode()).hexdigest()
        return cache_folder() / "embeddings" / name[:2] / f"{name}.safetensors"


def key_of(
    folder: Path, folders: Sequence[str], variant: str | None, dtype: torch.dtype, device: torch.device, **options: Any
) -> dict[str, Any]:
    """What decides an embedding besides the prompt. folders: those of the text encoders; the tokenizers' are found."""
    key = {"version": VERSION, "dtype": str(dtype), "options": options, "device": device.type}
    if device.type == "meta":
        return key
    read = read_files(files_in(folder, folders), folders, variant)
    own = (*folders, "tokenizer")
    weights = identity_of(folder, (name for name in read.all if name.startswith(own)))
    import transformers

    card = torch.cuda.get_device_name(device) if device.type == "cuda" else str(torch.get_num_threads())
    return {**key, "weights": weights, "card": card, "versions": [torch.__version__, transformers.__version__]}


def _read(file: Path) -> Encoded | None:
    """The embeddings in a file; None if there is none, or it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stored:
            digest = (stored.metadata() or {}).get("sha256")
            found = tuple(stored.get_tensor(str(place)) for place in range(len(stored.keys())))
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        log.info("%s cannot be read (%s); the prompt is encoded again", file, error)
        return None
    if digest != _digest(file, found):
        log.info("%s is damaged; the prompt is encoded again", file)
        return None
    return found


def _write(file: Path, embeddings: Encoded) -> None:
    """Writes a file whole or not at all. If it cannot be written, the log says so."""
    from safetensors.torch import save

    content = save(
        {str(place): tensor for place, tensor in enumerate(embeddings)}, metadata={"sha256": _digest(file, embeddings)}
    )
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(file)
    except OSError as error:
        log.info("%s cannot be written (%s); the next job encodes the prompt again", file, error.strerror)


def _digest(file: Path, embeddings: Encoded) -> str:
    """Of the file's name, too: it says which prompt and text encoders they are of."""
    total = hashlib.sha256(file.name.encode())
    for tensor in embeddings:
        total.update(f"{tensor.dtype} {tuple(tensor.shape)}\0".encode())
        total.update(tensor.contiguous().view(torch.uint8).numpy())
    return total.hexdigest()
