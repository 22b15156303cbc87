"""What the published checkpoints are made of: classes and configurations, to build them without weights.

`architecture("sd_turbo", "full")` gives the parts of stabilityai/sd-turbo and `build(part)` the module; built
`with torch.device("meta"):` it takes no memory. Size `tiny` has the same classes, block types and file layout
with a few hundred thousand parameters, for tests; size `testbed` of clip and blip is what reno/testbed trains.

Parameters, as counted here (tests/test_checkpoints.py). The first five are the published figures to the last
digit; of the others no exact figure was at hand to compare with:

| name        | published checkpoint                          | part         | parameters  |
| ----------- | --------------------------------------------- | ------------ | ----------- |
| sd_turbo    | stabilityai/sd-turbo                          | unet         | 865,910,724 |
|             |                                               | vae          |  83,653,863 |
|             |                                               | text_encoder | 340,387,840 |
| clip        | openai/clip-vit-base-patch32                  |              | 151,277,313 |
| clip_vit_h  | laion/CLIP-ViT-H-14-laion2B-s32B-b79K         |              | 986,109,441 |
| blip        | Salesforce/blip-itm-base-coco                 |              | 223,744,258 |
| blip_large  | Salesforce/blip-itm-large-coco                |              | 446,128,642 |
| blip_vqa    | Salesforce/blip-vqa-capfilt-large             |              | 361,230,140 |
| clip_vit_l  | openai/clip-vit-large-patch14                 |              | 427,616,513 |
| mask2former | facebook/mask2former-swin-small-coco-instance |              |  68,741,083 |
| owlv2       | google/owlv2-base-patch16-ensemble            |              | 154,966,792 |

blip_vqa's published file, with 384,672,572, also holds the decoder's output matrix (30524 x 768), which is
its word embedding a second time.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from reno.errors import BadInput, did_you_mean
from reno.vocabularies import COCO_OBJECTS

SIZES = ("full", "tiny", "testbed")


@dataclass(frozen=True)
class Part:
    """One module of a checkpoint: a class of diffusers or transformers and its configuration."""

    folder: str
    """Where it lies in the checkpoint; "" is the checkpoint's own folder."""
    library: str
    kind: str
    config: dict


@dataclass(frozen=True)
class Architecture:
    """A checkpoint without its weights."""

    name: str
    published: str
    """The published checkpoint that size `full` equals in everything but its weights."""
    tokenizer: str
    """`clip` (byte-level BPE), `bert` (WordPiece), or empty for a model that reads no text."""
    vocabulary: int
    """Rows of the word embedding, tokens; 0 for a model that reads no text."""
    image_size: int
    """Side of the square image the model makes or reads, pixels."""
    parts: tuple[Part, ...]


def architecture(name: str, size: str = "full") -> Architecture:
    """The architecture of a name in NAMES at a size in SIZES. Raises BadInput for any other."""
    if name not in NAMES:
        raise BadInput(unknown("checkpoint", name, NAMES))
    if size not in SIZES:
        raise BadInput(unknown("size", size, SIZES))
    if size not in _ARCHITECTURES[name]:
        having = [other for other in NAMES if size in _ARCHITECTURES[other]]
        raise BadInput(f"{name} has no size {size!r}; {', '.join(having)} have it")
    return _ARCHITECTURES[name][size]


def unknown(kind: str, word: object, known) -> str:
    """The sentence for a word that is none of the known ones."""
    return f"no {kind} is called {word!r}{did_you_mean(word, list(known))}; there are {', '.join(known)}"


def build(part: Part):
    """The part's module, in float32, on torch's default device."""
    kind = getattr(importlib.import_module(part.library), part.kind)
    if part.library == "diffusers":
        return kind(**part.config)
    return kind(kind.config_class(**part.config))


# fmt: off  (the tables below read by the line)

# --- SD-Turbo: a Stable Diffusion 2.1 distilled to one step -------------------------------------------------


def _sd_turbo(*, image_size: int, latent_size: int, vocabulary: int, text: dict, unet: dict, vae: dict):
    text_encoder = {
        "vocab_size": vocabulary,
        "max_position_embeddings": 77,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": 512,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        **text,
    }
    unet = {
        "sample_size": latent_size,
        "in_channels": 4,
        "out_channels": 4,
        "act_fn": "silu",
        "norm_eps": 1e-5,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "cross_attention_dim": text["hidden_size"],
        "use_linear_projection": True,
        "only_cross_attention": False,
        "dual_cross_attention": False,
        "resnet_time_scale_shift": "default",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "center_input_sample": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        **unet,
    }
    vae = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "act_fn": "silu",
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "scaling_factor": 0.18215,
        "force_upcast": True,
        **vae,
    }
    return Architecture(
        "sd_turbo",
        "stabilityai/sd-turbo",
        "clip",
        vocabulary,
        image_size,
        (
            Part("text_encoder", "transformers", "CLIPTextModel", text_encoder),
            Part("unet", "diffusers", "UNet2DConditionModel", unet),
            Part("vae", "diffusers", "AutoencoderKL", vae),
        ),
    )


SD_TURBO_SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",  # with one step: the noisiest, t = 999
    "timestep_type": "discrete",
    "interpolation_type": "linear",
    "steps_offset": 1,
    "use_karras_sigmas": False,
    "sigma_min": None,
    "sigma_max": None,
    "trained_betas": None,
}

# --- CLIP, BLIP and the detectors ---------------------------------------------------------------------------


def _tower(width: int, layers: int, heads: int, **more) -> dict:
    """A transformer: its width in channels, and a feed-forward four times as wide."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **more,
    }


def _clip(name: str, published: str, *, act: str, projection: int, vocabulary: int, text: dict, vision: dict):
    both = {"hidden_act": act, "layer_norm_eps": 1e-5, "projection_dim": projection, "attention_dropout": 0.0}
    config = {
        "projection_dim": projection,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            **both,
            "vocab_size": vocabulary,
            "max_position_embeddings": 77,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 1,
            **text,
        },
        "vision_config": {**both, "num_channels": 3, **vision},
    }
    parts = (Part("", "transformers", "CLIPModel", config),)
    return Architecture(name, published, "clip", vocabulary, vision["image_size"], parts)


def _blip(name: str, published: str, kind: str, *, vocabulary: int, projection: int, text, vision):
    config = {
        "projection_dim": 512,
        "image_text_hidden_size": projection,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "vocab_size": vocabulary,
            "max_position_embeddings": 512,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "projection_dim": 768,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "pad_token_id": 0,
            "sep_token_id": 102,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": 2,
            "is_decoder": True,
            "encoder_hidden_size": vision["hidden_size"],
            **text,
        },
        "vision_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "attention_dropout": 0.0, **vision},
    }
    parts = (Part("", "transformers", kind, config),)
    return Architecture(name, published, "bert", vocabulary, vision["image_size"], parts)


def _mask2former(*, image_size: int, width: int, decoder_layers: int, swin: dict, **more):
    config = {
        "num_labels": len(COCO_OBJECTS),
        "id2label": dict(enumerate(COCO_OBJECTS)),
        "label2id": {name: label for label, name in enumerate(COCO_OBJECTS)},
        "feature_size": width,
        "mask_feature_size": width,
        "hidden_dim": width,
        "encoder_feedforward_dim": 4 * width,
        "dim_feedforward": 8 * width,
        "decoder_layers": decoder_layers,
        "activation_function": "relu",
        "dropout": 0.0,
        "pre_norm": False,
        "common_stride": 4,
        "feature_strides": [4, 8, 16, 32],
        "backbone_config": {
            "model_type": "swin",
            "image_size": 224,
            "patch_size": 4,
            "num_channels": 3,
            "mlp_ratio": 4.0,
            "qkv_bias": True,
            "hidden_act": "gelu",
            "drop_path_rate": 0.3,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
            **swin,
        },
        **more,
    }
    parts = (Part("", "transformers", "Mask2FormerForUniversalSegmentation", config),)
    return Architecture("mask2former", "facebook/mask2former-swin-small-coco-instance", "", 0, image_size, parts)


def _owlv2(*, projection: int, vocabulary: int, text: dict, vision: dict):
    both = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "attention_dropout": 0.0}
    config = {
        "projection_dim": projection,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            **both,
            "vocab_size": vocabulary,
            "max_position_embeddings": 16,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": 0,
            **text,
        },
        "vision_config": {**both, "num_channels": 3, **vision},
    }
    parts = (Part("", "transformers", "Owlv2ForObjectDetection", config),)
    name, published = "owlv2", "google/owlv2-base-patch16-ensemble"
    return Architecture(name, published, "clip", vocabulary, vision["image_size"], parts)


def _sizes(make, *names, **sizes: dict) -> dict[str, Architecture]:
    return {size: make(*names, **settings) for size, settings in sizes.items()}


# The tiny ones differ from each other in width and image size, as the published ones do: code that takes one
# for the other does not fit. Their vocabularies hold the same words as the full ones (reno/vocabularies.py).
_TINY_WORDS = 1280

_ITM = "BlipForImageTextRetrieval"
_VQA = "BlipForQuestionAnswering"
_BLIP_BASE = {
    "projection": 256,
    "vocabulary": 30524,
    "text": _tower(768, 12, 12),
    "vision": _tower(768, 12, 12, image_size=384, patch_size=16),
}
_BLIP_TINY = {
    "projection": 16,
    "vocabulary": _TINY_WORDS,
    "text": _tower(32, 2, 2),
    "vision": _tower(32, 2, 2, image_size=48, patch_size=16),
}

_ARCHITECTURES = {
    "sd_turbo": _sizes(
        _sd_turbo,
        full={
            "image_size": 512,
            "latent_size": 64,
            "vocabulary": 49408,
            "text": _tower(1024, 23, 16),
            "unet": {
                "block_out_channels": [320, 640, 1280, 1280],
                "attention_head_dim": [5, 10, 20, 20],
                "layers_per_block": 2,
                "norm_num_groups": 32,
            },
            "vae": {
                "block_out_channels": [128, 256, 512, 512],
                "layers_per_block": 2,
                "norm_num_groups": 32,
                "sample_size": 768,
            },
        },
        tiny={
            "image_size": 64,
            "latent_size": 8,
            "vocabulary": _TINY_WORDS,
            "text": _tower(32, 2, 2),
            "unet": {
                "block_out_channels": [8, 16, 16, 16],
                "attention_head_dim": [1, 2, 2, 2],
                "layers_per_block": 1,
                "norm_num_groups": 4,
            },
            "vae": {
                "block_out_channels": [8, 8, 16, 16],
                "layers_per_block": 1,
                "norm_num_groups": 4,
                "sample_size": 64,
            },
        },
    ),
    "clip": _sizes(
        _clip,
        "clip",
        "openai/clip-vit-base-patch32",
        full={
            "act": "quick_gelu",
            "projection": 512,
            "vocabulary": 49408,
            "text": _tower(512, 12, 8),
            "vision": _tower(768, 12, 12, image_size=224, patch_size=32),
        },
        tiny={
            "act": "quick_gelu",
            "projection": 16,
            "vocabulary": _TINY_WORDS,
            "text": _tower(16, 2, 2),
            "vision": _tower(32, 2, 2, image_size=32, patch_size=8),
        },
        testbed={
            "act": "quick_gelu",
            "projection": 128,
            "vocabulary": _TINY_WORDS,
            "text": _tower(128, 2, 4),
            "vision": _tower(128, 4, 4, image_size=64, patch_size=8),
        },
    ),
    "clip_vit_h": _sizes(
        _clip,
        "clip_vit_h",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        full={
            "act": "gelu",
            "projection": 1024,
            "vocabulary": 49408,
            "text": _tower(1024, 24, 16),
            "vision": _tower(1280, 32, 16, image_size=224, patch_size=14),
        },
        tiny={
            "act": "gelu",
            "projection": 24,
            "vocabulary": _TINY_WORDS,
            "text": _tower(24, 3, 2),
            "vision": _tower(40, 3, 2, image_size=42, patch_size=14),
        },
    ),
    "clip_vit_l": _sizes(
        _clip,
        "clip_vit_l",
        "openai/clip-vit-large-patch14",
        full={
            "act": "quick_gelu",
            "projection": 768,
            "vocabulary": 49408,
            "text": _tower(768, 12, 12),
            "vision": _tower(1024, 24, 16, image_size=224, patch_size=14),
        },
        tiny={
            "act": "quick_gelu",
            "projection": 20,
            "vocabulary": _TINY_WORDS,
            "text": _tower(20, 2, 2),
            "vision": _tower(24, 3, 2, image_size=28, patch_size=14),
        },
    ),
    "blip": _sizes(
        _blip,
        "blip",
        "Salesforce/blip-itm-base-coco",
        _ITM,
        full=_BLIP_BASE,
        tiny=_BLIP_TINY,
        testbed={
            "projection": 128,
            "vocabulary": _TINY_WORDS,
            "text": _tower(128, 4, 4),
            "vision": _tower(128, 4, 4, image_size=64, patch_size=8),
        },
    ),
    "blip_large": _sizes(
        _blip,
        "blip_large",
        "Salesforce/blip-itm-large-coco",
        _ITM,
        full={**_BLIP_BASE, "vision": _tower(1024, 24, 16, image_size=384, patch_size=16)},
        tiny={**_BLIP_TINY, "vision": _tower(48, 3, 3, image_size=64, patch_size=16)},
    ),
    "blip_vqa": _sizes(
        _blip,
        "blip_vqa",
        "Salesforce/blip-vqa-capfilt-large",
        _VQA,
        full=_BLIP_BASE,
        tiny=_BLIP_TINY,
    ),
    "mask2former": _sizes(
        _mask2former,
        full={
            "image_size": 384,
            "width": 256,
            "encoder_layers": 6,
            "decoder_layers": 10,
            "num_attention_heads": 8,
            "num_queries": 100,
            "swin": {"embed_dim": 96, "depths": [2, 2, 18, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
        },
        tiny={
            "image_size": 64,
            "width": 32,  # its normalisations have 32 groups
            "encoder_layers": 1,
            "decoder_layers": 2,
            "num_attention_heads": 2,
            "num_queries": 10,
            "swin": {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2], "window_size": 7},
        },
    ),
    "owlv2": _sizes(
        _owlv2,
        full={
            "projection": 512,
            "vocabulary": 49408,
            "text": _tower(512, 12, 8),
            "vision": _tower(768, 12, 12, image_size=960, patch_size=16),
        },
        tiny={
            "projection": 16,
            "vocabulary": _TINY_WORDS,
            "text": _tower(16, 2, 2),
            "vision": _tower(32, 2, 2, image_size=64, patch_size=16),
        },
    ),
}

NAMES = list(_ARCHITECTURES)
