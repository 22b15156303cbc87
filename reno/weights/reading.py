"""Which files of a checkpoint its loader reads.

The same rule serves a local folder, a snapshot in the hub's cache and a repository of the hub: it looks at names only.
Of a repository nothing else is fetched, and of all three nothing else is part of the checkpoint's identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CONFIGS = frozenset(
    {
        "config.json", "generation_config.json", "model_index.json", "preprocessor_config.json",
        "processor_config.json", "scheduler_config.json",
        "added_tokens.json", "merges.txt", "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model",
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
        "random_weights.json",  # scripts/make_checkpoints.py's mark, which `Located.random` reads
    }
)  # fmt: skip
"""Names of the configurations and tokenizer files that diffusers, transformers and this program read."""
BESIDE_FOLDERS = ("tokenizer", "scheduler", "processor", "image_processor", "feature_extractor")
"""Starts of the names of a pipeline's folders that hold no weights and are read."""
STEM = r"(?:model|diffusion_pytorch_model)"
"""The names that transformers and diffusers give to the weights of a part."""
SHARD = r"-\d+-of-\d+"
OF_A_VARIANT = re.compile(r"\.(fp16|bf16)[.-]")


@dataclass(frozen=True)
class ReadFiles:
    """The files of a checkpoint that its loader reads, as paths inside it with `/`."""

    weights: tuple[str, ...]
    configs: tuple[str, ...]
    """Configurations and tokenizers."""
    variant: str | None
    """The wanted precision if at least one part is stored in it, else None."""
    lacking: tuple[str, ...]
    """The parts without weights that could be loaded; "" is the checkpoint's own folder."""
    instead: str | None = None
    """The precision in which such a part is stored, if it is stored in one that is not wanted."""

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.weights, *self.configs)


def read_files(files: Iterable[str], parts: Sequence[str], variant: str | None) -> ReadFiles:
    """What a loader reads of a checkpoint.

    files: every file of it, as paths with `/`. parts: the folders with weights; ("",) for a checkpoint that is one
    model; or single files, weights or a config.json, beside which nothing is read. variant: the wanted precision, e.g.
    fp16. As in diffusers, a part that is not stored in it is taken in the plain files, whatever the other parts are
    stored in.
    """
    paths = sorted(map(PurePosixPath, files))
    weights: list[str] = []
    lacking: list[str] = []
    found = instead = None
    for part in parts:
        if is_file(part):
            there = PurePosixPath(part) in paths
            weights += [part] * (there and part.endswith(".safetensors"))
            lacking += [part] * (not there)
            continue
        inside = [path.name for path in paths if path.parent == PurePosixPath(part)]
        own = variant_of(inside, variant)
        names = _weights(inside, own)
        found = own or found
        weights += [str(PurePosixPath(part) / name) for name in names]
        if not names:
            lacking.append(part)
            others = [match[1] for name in inside if (match := OF_A_VARIANT.search(name)) and "safetensors" in name]
            instead = others[0] if others else instead
    configs = tuple(str(path) for path in paths if path.name in CONFIGS and _is_read(path, parts))
    return ReadFiles(tuple(weights), configs, found, tuple(lacking), instead)


def is_file(part: str) -> bool:
    """Whether a part is one file and not a folder."""
    return part.endswith((".safetensors", ".json"))


def variant_of(names: Iterable[str], variant: str | None) -> str | None:
    """The wanted precision if a part's files, given by their names, have it; else None, for the plain files."""
    return variant if variant and _weights(list(names), variant) else None


def variant_in(folder: Path, variant: str | None) -> str | None:
    """The same for a part's folder on this disk."""
    return variant_of((file.name for file in folder.glob("*")), variant)


def whole(read: ReadFiles, parts: Sequence[str]) -> bool:
    """Whether a snapshot with these files can be loaded: every part has its configuration and all of its weights. (An
    interrupted download leaves a snapshot that cannot.)"""
    folders = [part for part in parts if not is_file(part)]
    configured = all(str(PurePosixPath(part) / "config.json") in read.configs for part in folders)
    return configured and not read.lacking and all(_has_all_shards(read.weights, name) for name in read.weights)


def files_in(folder: Path, parts: Sequence[str]) -> list[str]:
    """The files of a folder, of its subfolders and of its parts, as paths inside it with `/`."""
    places = {
        folder,
        *(folder / part for part in parts if not is_file(part)),
        *(place for place in folder.glob("*") if place.is_dir()),
    }
    return [file.relative_to(folder).as_posix() for place in places for file in place.glob("*") if file.is_file()]


def _weights(names: Sequence[str], variant: str | None) -> list[str]:
    """The weights in one folder that are read: one file, or shards and their index. A part whose files have names of
    their own, as a user's module may save them, is read whole."""
    mark = re.escape(f".{variant}") if variant else ""
    one = [name for name in names if re.fullmatch(rf"{STEM}{mark}\.safetensors", name)]
    if one:
        return one
    sharded = rf"{STEM}(?:{mark}{SHARD}|{SHARD}{mark})\.safetensors|{STEM}\.safetensors\.index{mark}\.json"
    shards = [name for name in names if re.fullmatch(sharded, name)]
    if any(name.endswith(".safetensors") for name in shards):
        return shards
    if any(re.fullmatch(rf"{STEM}[.-].*safetensors", name) for name in names):
        return []  # the part is stored in another precision only
    own = [name for name in names if name.endswith(".safetensors")]
    if variant:
        return [name for name in own if f".{variant}." in name or f".{variant}-" in name]
    return [name for name in own if not OF_A_VARIANT.search(name)]


def _is_read(config: PurePosixPath, parts: Sequence[str]) -> bool:
    """Whether a configuration is read of a checkpoint with these parts."""
    folder = config.parent
    if str(config) in parts:
        return True
    if not any(not is_file(part) for part in parts):
        return False
    if tuple(parts) == ("",):
        return folder == PurePosixPath("")
    return str(folder) in (".", *parts) or (len(folder.parts) == 1 and folder.name.startswith(BESIDE_FOLDERS))


def _has_all_shards(weights: Sequence[str], name: str) -> bool:
    """Whether all files of a sharded part are there: a shard's name tells how many there are."""
    match = re.search(r"-\d+-of-(\d+)", name)
    if match is None:
        return True
    start = name[: match.start()]
    return sum(other.startswith(start) and f"-of-{match[1]}" in other for other in weights) == int(match[1])
