"""The modules of the published checkpoints, read from the files under published/, to build them without weights.

    architecture("sd_turbo", "full")      # the parts of stabilityai/sd-turbo
    build(part)                           # one of its parts as a module; on torch's meta device it takes no memory

published/NAME/architecture.json is the index: the published name, the tokenizers, the sizes. published/NAME/SIZE is a
checkpoint's folder as it is published, without weights and tokenizer. Each config.json is one part and names its class.
A new architecture is a new folder there and no code.

Size `full` equals the published checkpoint in everything but its weights. Size `tiny` has the same classes, block types
and files with a few hundred thousand parameters, for tests; its widths and image sizes differ from name to name, as
those of `full` do, so code that takes one model for another fails. Size `testbed` of clip and blip is what the
testbed's training starts from.

Parameters of size `full`, counted by tests/weights/test_architectures.py. The first five are the published figures to
the last digit; for the others no exact figure was found:

| name              | published checkpoint                                    | part           | parameters     |
| ----------------- | ------------------------------------------------------- | -------------- | -------------- |
| sd_turbo          | stabilityai/sd-turbo                                    | unet           |    865,910,724 |
|                   |                                                         | vae            |     83,653,863 |
|                   |                                                         | text_encoder   |    340,387,840 |
| clip              | openai/clip-vit-base-patch32                            |                |    151,277,313 |
| clip_vit_h        | laion/CLIP-ViT-H-14-laion2B-s32B-b79K                   |                |    986,109,441 |
| blip              | Salesforce/blip-itm-base-coco                           |                |    223,744,258 |
| blip_large        | Salesforce/blip-itm-large-coco                          |                |    446,128,642 |
| blip_vqa          | Salesforce/blip-vqa-capfilt-large                       |                |    361,230,140 |
| clip_vit_l        | openai/clip-vit-large-patch14                           |                |    427,616,513 |
| mask2former       | facebook/mask2former-swin-small-coco-instance           |                |     68,741,083 |
| owlv2             | google/owlv2-base-patch16-ensemble                      |                |    154,966,792 |
| hpsv2             | xswu/HPSv2 (HPS_v2.1_compressed.pt)                     |                |    986,109,441 |
| imagereward       | zai-org/ImageReward (ImageReward.pt)                    |                |    446,206,689 |
| aesthetic         | openai/clip-vit-large-patch14 and a head                |                |    304,894,177 |
| pickscore         | yuvalkirstain/PickScore_v1                              |                |    986,109,441 |
| siglip2           | google/siglip2-base-patch16-224                         |                |    375,187,970 |
| blip2_itm         | Salesforce/blip2-itm-vit-g                              |                |  1,172,032,258 |
| taesd             | madebyollin/taesd                                       |                |      2,445,063 |
| sana_sprint       | Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers | transformer    |    593,501,216 |
|                   |                                                         | vae            |    312,250,275 |
|                   |                                                         | text_encoder   |  2,614,341,888 |
| sana_sprint_1600m | Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers | transformer    |  1,610,237,472 |
| flux_schnell      | black-forest-labs/FLUX.1-schnell                        | transformer    | 11,891,178,560 |
|                   |                                                         | vae            |     83,819,683 |
|                   |                                                         | text_encoder   |    123,060,480 |
|                   |                                                         | text_encoder_2 |  4,762,310,656 |
| pixart_alpha      | PixArt-alpha/PixArt-XL-2-1024-MS                        | transformer    |    611,349,152 |
|                   |                                                         | vae            |     83,653,863 |
|                   |                                                         | text_encoder   |  4,762,310,656 |
| pixart_dmd        | PixArt-alpha/PixArt-Alpha-DMD-XL-2-512x512              | transformer    |    610,856,096 |
| sdxl_turbo        | stabilityai/sdxl-turbo                                  | unet           |  2,567,463,684 |
|                   |                                                         | vae            |     83,653,863 |
|                   |                                                         | text_encoder   |    123,060,480 |
|                   |                                                         | text_encoder_2 |    694,659,840 |
| sdxl_base         | stabilityai/stable-diffusion-xl-base-1.0                | as sdxl_turbo  |                |
| hyper_sdxl        | ByteDance/Hyper-SD (one file)                           | (a U-Net)      |  2,567,463,684 |
| dmd2_sdxl         | tianweiy/DMD2 (a pickle)                                | (a U-Net)      |  2,567,463,684 |
| sdxl_vae          | madebyollin/sdxl-vae-fp16-fix                           |                |     83,653,863 |

blip_vqa's published file, with 384,672,572, also holds the decoder's output matrix (30524 x 768), which is its word
embedding a second time.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from reno.spec.errors import BadInput, did_you_mean

PUBLISHED = Path(__file__).resolve().parent / "published"
SIZES = ("full", "tiny", "testbed")
REWARD_MODELS = "reno.weights.reward_models"
OF_REWARDS = ("ImageRewardModel", "AestheticModel")
"""Classes of REWARD_MODELS, which is slow to import."""


@dataclass(frozen=True)
class ModelPart:
    """One module of a checkpoint: a class of diffusers, of transformers or of reward_models.py, and its
    configuration."""

    folder: str
    """Where it is in the checkpoint; "" is the checkpoint's own folder."""
    library: str
    """The module that has its class."""
    kind: str
    """The name of its class in the library."""
    config: dict[str, Any]


class TokenizerKind(msgspec.Struct, frozen=True):
    """One tokenizer of a checkpoint."""

    kind: str
    """`clip` (byte-level BPE), `bert` (WordPiece with BLIP's extra tokens), `gemma` (BPE with single bytes, as SigLIP 2
    uses it), `gemma_2` (the same, as Gemma 2 uses it), `t5` (unigram) or `t5_spiece` (the same, as spiece.model)."""
    pad_token: str
    length: int
    """The most tokens of a text."""
    folder: str = ""
    """Where it is in the checkpoint; "" is the checkpoint's own folder."""


class SizeFacts(msgspec.Struct, frozen=True):
    """Facts that a size's configurations do not give in one place."""

    image_size: int
    """Side of the square image that the model makes or reads, pixels."""
    vocabulary: int = 0
    """Rows of the word embedding, tokens; 0 for a model that reads no text."""
    vocabularies: dict[str, int] = {}
    """The same for a tokenizer whose text encoder has another number of rows, by the tokenizer's folder."""


class PublishedIndex(msgspec.Struct, frozen=True):
    """architecture.json"""

    published: str
    sizes: dict[str, SizeFacts]
    tokenizers: tuple[TokenizerKind, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """A checkpoint without its weights."""

    name: str
    published: str
    """The published checkpoint that size `full` equals in everything but its weights."""
    tokenizers: tuple[TokenizerKind, ...]
    """Empty for a model that reads no text."""
    vocabulary: int
    """Rows of the word embedding, tokens; 0 for a model that reads no text."""
    image_size: int
    """Side of the square image that the model makes or reads, pixels."""
    folder: Path
    """Its files under published/."""
    parts: tuple[ModelPart, ...]
    vocabularies: dict[str, int] = field(default_factory=dict)
    """The same for a tokenizer whose text encoder has another number of rows, by the tokenizer's folder."""

    def rows(self, tokenizer: TokenizerKind) -> int:
        """Rows of the word embedding that a tokenizer is for, tokens."""
        return self.vocabularies.get(tokenizer.folder, self.vocabulary)


def names_in(published: Path) -> list[str]:
    """The names of the architectures in a folder."""
    return sorted(index.parent.name for index in published.glob("*/architecture.json"))


NAMES = names_in(PUBLISHED)


def architecture(name: str, size: str = "full", published: Path = PUBLISHED) -> Architecture:
    """The architecture of a name in NAMES at a size in SIZES. Raises BadInput for any other.

    published: the folder that describes it.
    """
    names = names_in(published)
    if name not in names:
        raise BadInput(unknown("checkpoint", name, names))
    if size not in SIZES:
        raise BadInput(unknown("size", size, SIZES))
    indices = {other: _index(published / other) for other in names}
    index, folder = indices[name], published / name / size
    if size not in index.sizes:
        having = [other for other in names if size in indices[other].sizes]
        raise BadInput(f"{name} has no size {size!r}; {', '.join(having)} have it")
    facts = index.sizes[size]
    parts = tuple(_part(config, folder) for config in sorted(folder.rglob("config.json")))
    known = index.published, index.tokenizers, facts.vocabulary, facts.image_size, folder, parts
    return Architecture(name, *known, facts.vocabularies)


def published_folder(published: str) -> Path | None:
    """The configurations of a published checkpoint by its name on the hub; None if they are not known. A folder of
    this name on this disk is another checkpoint."""
    if Path(published).expanduser().is_dir():
        return None
    return next((PUBLISHED / name / "full" for name in NAMES if _index(PUBLISHED / name).published == published), None)


def unknown(what: str, word: object, known) -> str:
    """The sentence for an unknown word."""
    return f"no {what} is called {word!r}{did_you_mean(word, list(known))}; there are {', '.join(known)}"


def build(part: ModelPart):
    """The part's module, in float32, on torch's default device."""
    kind = class_of(part)
    if part.library == "diffusers":
        return kind(**part.config)
    return kind(kind.config_class(**part.config))


def class_of(part: ModelPart) -> type:
    """The part's class, imported from its library."""
    return getattr(importlib.import_module(part.library), part.kind)


def _index(folder: Path) -> PublishedIndex:
    return msgspec.json.decode((folder / "architecture.json").read_bytes(), type=PublishedIndex)


def _part(path: Path, folder: Path) -> ModelPart:
    """The part of a config.json, which names its class as its library writes it: diffusers in `_class_name`,
    transformers in `architectures`."""
    config = json.loads(path.read_bytes())
    place = path.parent.relative_to(folder).as_posix().removeprefix(".")
    if "_class_name" in config:
        return ModelPart(place, "diffusers", config.pop("_class_name"), config)
    kind = config["architectures"][0]
    return ModelPart(place, REWARD_MODELS if kind in OF_REWARDS else "transformers", kind, config)
