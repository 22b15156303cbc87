"""Rewards and a generator's U-Net that are published as pickles, as folders in transformers' or diffusers' format.

Of a reward that others published as safetensors, that port is read unless a file is given. A pickle is read with
torch's weights_only=True, which runs no code of the file. Every weight of the model must be in the file and of its
shape, and every weight of the file must be known: then nothing is guessed.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from reno.spec.errors import BadInput, first_line
from reno.spec.job import Checkpoint
from reno.weights.architectures import Architecture, architecture, build, unknown
from reno.weights.checkpoints import Located, locate
from reno.weights.folders import write_json
from reno.weights.loading import load_model
from reno.weights.pickled import PICKLED, Pickled
from reno.weights.texts import OPTIONAL_FILES, VOCABULARIES, load_tokenizer

NOTE = "conversion.json"
"""The file that says what a folder was converted from."""

Weights: TypeAlias = dict[str, torch.Tensor]
Place: TypeAlias = tuple[str, Callable[[torch.Tensor], torch.Tensor]]
"""A weight's name in the published file, and what makes it transformers'."""


@dataclass(frozen=True)
class Conversion:
    """How the weights of one file are arranged."""

    place: Callable[[str], Place | None]
    """The place of one of the model's weights; None for one that the base gives."""
    unused: str = r"(?!)"
    """A pattern of the names of weights that the score does not use."""
    port_prefix: str = ""
    """What a port writes before each of the published names."""


@dataclass(frozen=True)
class Converted:
    """A folder that was made."""

    folder: Path
    source: str
    """The name of the file that was read; of a port, its repository."""
    sha256: str
    """Of that file."""
    parameters: int


PORTED = "model.safetensors"
"""The file of a port."""


def convert(
    name: str,
    file: Path | None,
    base: str | None,
    out: Path,
    size: str = "full",
    find: Callable[..., Located] = locate,
) -> Converted:
    """Writes the folder `out` for the model `name`, whole or not at all.

    file: as published, a pickle or safetensors; None: the port that is published as safetensors, fetched from the hub.
    base: a folder or a name of the hub in place of the usual one. size: of the architecture. find: what finds a
    checkpoint of the hub. Raises BadInput if the file is not that model's, there is no port, the base does not fit or
    `out` is there.
    """
    if name not in CONVERSIONS:
        raise BadInput(unknown("conversion", name, CONVERSIONS))
    if os.path.lexists(out):
        raise BadInput(f"out={out} is there already; give another folder or remove that one")
    published, what = PICKLED[name], architecture(name, size)
    if base is not None and published.base is None:
        raise BadInput(f"base={base} is not used: {published.file} holds all of {name}; leave it out")
    note = {"name": name, "published": published.publisher}
    if file is None:
        port = _port(published, name, find)
        file, note = port.folder / PORTED, {"name": name, "published": port.source, "commit": port.commit}
    weights = _as_the_original(CONVERSIONS[name], read_published(file))
    needs_base = what.tokenizers or any(key not in weights for key in _keys_of_base(what))
    if base is not None and not needs_base:
        raise BadInput(f"base={base} is not used: {file.name} holds all of {name}; leave it out")
    folder = find(Checkpoint(base or published.base), "base").folder if published.base and needs_base else None
    module = _module(what, _arranged(what, weights, file, folder))
    digest = _sha256(file)
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        module.save_pretrained(beside)
        if (what.folder / "preprocessor_config.json").is_file():
            shutil.copyfile(what.folder / "preprocessor_config.json", beside / "preprocessor_config.json")
        if what.tokenizers and folder:
            _copy_tokenizer(folder, beside)
        write_json(beside / NOTE, {**note, "file": file.name, "sha256": digest})
        beside.rename(out)
    except OSError as error:
        raise BadInput(f"cannot write {out} ({error.strerror or error}); give another out=FOLDER") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    source = note["published"] if "commit" in note else file.name
    return Converted(out, source, digest, sum(value.numel() for value in module.parameters()))


def _port(published: Pickled, name: str, find: Callable[..., Located]) -> Located:
    """The port of a published pickle. Raises BadInput if there is none, or it cannot be had."""
    remedy = f"fetch {published.file} of {published.publisher} and give it: python -m reno.convert {name} FILE"
    if published.port is None:
        raise BadInput(f"file is empty, and no port of {name} to safetensors is known; {remedy}")
    try:
        return find(Checkpoint(published.port), "file", (PORTED,))
    except BadInput as error:
        raise BadInput(f"{str(error).partition(';')[0]}; try again later, or {remedy}") from None


def _as_the_original(conversion: Conversion, weights: Weights) -> Weights:
    """A port's weights by the names of the original file."""
    prefix = conversion.port_prefix
    if not prefix or not all(key.startswith(prefix) for key in weights):
        return weights
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def _keys_of_base(what: Architecture) -> list[str]:
    """The names of the model's weights that the published file lacks."""
    with torch.device("meta"):
        return [key for key in build(what.parts[0]).state_dict() if CONVERSIONS[what.name].place(key) is None]


def read_published(file: Path) -> Weights:
    """The weights of a published file, by name. Raises BadInput if it cannot be read, or holds anything else."""
    if not file.is_file():
        raise BadInput(f"{file} is not a file; give the published one")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            read: Any = load_file(file)
        else:
            read = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own words advise to read it all the same
        raise BadInput(
            f"{file} is not loaded: it is no pickle, or one that holds more than weights and so could run code; give "
            "the file as it is published"
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(
            f"{file} cannot be read as a file of weights ({first_line(error)[:200]}); give the file as it is published"
        ) from None
    if isinstance(read, Mapping) and isinstance(read.get("state_dict"), Mapping):
        read = read["state_dict"]
    if not isinstance(read, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in read.items()
    ):
        raise BadInput(f"{file} holds something else than weights by name; give the file as it is published")
    return dict(read)


def _arranged(what: Architecture, weights: Weights, file: Path, base: Path | None) -> Weights:
    """The model's weights under its library's names. Raises BadInput for a weight that is missing, of another shape or
    unknown."""
    conversion, wanted = CONVERSIONS[what.name], f"{PICKLED[what.name].file} of {what.published}"
    with torch.device("meta"):
        asked = {key: value.shape for key, value in build(what.parts[0]).state_dict().items()}
    left = {key for key in weights if not re.fullmatch(conversion.unused, key)}
    arranged, from_base = {}, []
    for key, shape in asked.items():
        place = conversion.place(key)
        if place is None and key not in weights:
            from_base.append(key)
            continue
        source, change = place or (key, _same)  # a port may hold those of the base, by the library's names
        if source not in weights:
            raise BadInput(f"{file} lacks {source}; it is not {wanted}")
        try:
            value = change(weights[source])
        except (RuntimeError, IndexError):  # it has too few dimensions
            value = weights[source]
        if value.shape != shape:
            raise BadInput(
                f"{file} has {source} of the shape {list(weights[source].shape)}, from which {key} of the shape "
                f"{list(shape)} cannot be made; it is not {wanted}"
            )
        arranged[key] = value.contiguous()
        left.discard(source)
    if left:
        raise BadInput(f"{file} has {len(left)} weights that are not those of {wanted}, such as {min(left)}")
    return arranged | (_of_base(what, base, from_base) if from_base else {})


def _of_base(what: Architecture, base: Path, keys: list[str]) -> Weights:
    """These weights of the CLIP in a folder. Raises BadInput if it has others."""
    from transformers import CLIPModel

    given = load_model(CLIPModel, base, torch.float32, torch.device("cpu")).state_dict()
    with torch.device("meta"):
        asked = build(what.parts[0]).state_dict()
    for key in keys:
        if key not in given or given[key].shape != asked[key].shape:
            raise BadInput(f"base={base} is another CLIP than the one that {what.name} was trained on: {key} differs")
    return {key: given[key] for key in keys}


def _module(what: Architecture, weights: Weights) -> torch.nn.Module:
    part = what.parts[0]
    with torch.device("meta"):
        module = build(part)
    module.load_state_dict(weights, strict=True, assign=True)
    return module


def _copy_tokenizer(base: Path, folder: Path) -> None:
    load_tokenizer(base)  # raises BadInput if a file of it is absent or damaged
    for name in {*OPTIONAL_FILES, *(file for form in VOCABULARIES for file in form)}:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- From the names of transformers to those of the published files -----------------------------------------------


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


def _renamed(key: str, rules: Mapping[str, str]) -> str | None:
    """The key after the first rule, a pattern and its replacement, that fits all of it; None if there is none."""
    for pattern, replacement in rules.items():
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    return None


LAYER = r"encoder\.layers\.(\d+)\."
OPENCLIP = {
    r"logit_scale": "logit_scale",
    r"(text|visual)_projection\.weight": r"\1_projection",
    r"text_model\.embeddings\.token_embedding\.weight": "token_embedding.weight",
    r"text_model\.embeddings\.position_embedding\.weight": "positional_embedding",
    r"text_model\.final_layer_norm\.(\w+)": r"ln_final.\1",
    r"vision_model\.embeddings\.class_embedding": "visual.class_embedding",
    r"vision_model\.embeddings\.patch_embedding\.weight": "visual.conv1.weight",
    r"vision_model\.embeddings\.position_embedding\.weight": "visual.positional_embedding",
    r"vision_model\.pre_layrnorm\.(\w+)": r"visual.ln_pre.\1",
    r"vision_model\.post_layernorm\.(\w+)": r"visual.ln_post.\1",
    rf"(text|vision)_model\.{LAYER}layer_norm(\d)\.(\w+)": r"\1.transformer.resblocks.\2.ln_\3.\4",
    rf"(text|vision)_model\.{LAYER}self_attn\.out_proj\.(\w+)": r"\1.transformer.resblocks.\2.attn.out_proj.\3",
    rf"(text|vision)_model\.{LAYER}self_attn\.([qkv])_proj\.(\w+)": r"\1.transformer.resblocks.\2.attn.in_proj_\4",
    rf"(text|vision)_model\.{LAYER}mlp\.fc1\.(\w+)": r"\1.transformer.resblocks.\2.mlp.c_fc.\3",
    rf"(text|vision)_model\.{LAYER}mlp\.fc2\.(\w+)": r"\1.transformer.resblocks.\2.mlp.c_proj.\3",
}
"""CLIPModel's names and OpenCLIP's, whose text tower has no name of its own."""


def _in_openclip(key: str) -> Place:
    """OpenCLIP keeps queries, keys and values in one matrix, and its projections are applied from the right."""
    name = _renamed(key, OPENCLIP)
    assert name, key
    name = name.removeprefix("text.") if name.startswith("text.") else name.replace("vision.", "visual.", 1)
    if match := re.search(r"\.([qkv])_proj\.", key):
        third = "qkv".index(match[1])
        return name, lambda packed: packed.chunk(3)[third].clone()
    if key == "visual_projection.weight":
        return "visual.proj", torch.t
    return name, torch.t if key == "text_projection.weight" else _same


HEAD = (0, 2, 4, 6, 7)
"""The linear layers of a reward's head; its places in between were dropout's."""
IMAGEREWARD = {
    r"vision_model\.embeddings\.class_embedding": "blip.visual_encoder.cls_token",
    r"vision_model\.embeddings\.position_embedding": "blip.visual_encoder.pos_embed",
    r"vision_model\.embeddings\.patch_embedding\.(\w+)": r"blip.visual_encoder.patch_embed.proj.\1",
    r"vision_model\.post_layernorm\.(\w+)": r"blip.visual_encoder.norm.\1",
    rf"vision_model\.{LAYER}layer_norm(\d)\.(\w+)": r"blip.visual_encoder.blocks.\1.norm\2.\3",
    rf"vision_model\.{LAYER}self_attn\.qkv\.(\w+)": r"blip.visual_encoder.blocks.\1.attn.qkv.\2",
    rf"vision_model\.{LAYER}self_attn\.projection\.(\w+)": r"blip.visual_encoder.blocks.\1.attn.proj.\2",
    rf"vision_model\.{LAYER}mlp\.(\w+\.\w+)": r"blip.visual_encoder.blocks.\1.mlp.\2",
    r"(text_encoder\..*)": r"blip.\1",
}


def _in_imagereward(key: str) -> Place:
    if match := re.fullmatch(r"mlp\.(\d)\.(\w+)", key):
        return f"mlp.layers.{HEAD[int(match[1])]}.{match[2]}", _same
    name = _renamed(key, IMAGEREWARD)
    assert name, key
    return name, _same


def _in_aesthetic(key: str) -> Place | None:
    match = re.fullmatch(r"mlp\.(\d)\.(\w+)", key)
    return (f"layers.{HEAD[int(match[1])]}.{match[2]}", _same) if match else None


def _as_published(key: str) -> Place:
    return key, _same


CONVERSIONS = {
    "hpsv2": Conversion(_in_openclip, port_prefix="model."),
    "imagereward": Conversion(
        _in_imagereward,
        unused=r"blip\.(vision|text)_proj\.\w+|blip\.text_encoder\.(embeddings\.position_ids|pooler\.dense\.\w+)",
    ),
    "aesthetic": Conversion(_in_aesthetic, unused=r"vision_model\.embeddings\.position_ids"),
    "dmd2_sdxl": Conversion(_as_published),
}
