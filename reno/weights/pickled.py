"""The weights that are published as pickles, which nothing loads: `python -m reno.convert` makes a folder of them, or
of a port of the same weights to safetensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pickled:
    """One published file."""

    publisher: str
    """Where it is from, a repository of the hub or of GitHub; the path that conf/metric or conf/models gives."""
    file: str
    base: str | None
    """The checkpoint of the hub that gives what the file lacks: the tokenizer, for `aesthetic` the image encoder. None
    if it lacks nothing."""
    words: str
    """The words of reno.run that take the folder, up to its name."""
    port: str | None = None
    """A repository of the hub where others published the same weights as model.safetensors, as far as their code and
    their page tell; None if none is known. docs/metrics.md says what was seen."""


PICKLED = {
    "hpsv2": Pickled(
        "xswu/HPSv2",
        "HPS_v2.1_compressed.pt",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "metric=hpsv2 models.checkpoints.hpsv2.path=",
        "RE-N-Y/hpsv21",
    ),
    "imagereward": Pickled(
        "zai-org/ImageReward",
        "ImageReward.pt",
        "Salesforce/blip-itm-base-coco",
        "metric=imagereward models.checkpoints.imagereward.path=",
        "RE-N-Y/ImageReward",
    ),
    "aesthetic": Pickled(
        "christophschuhmann/improved-aesthetic-predictor",
        "sac+logos+ava1-l14-linearMSE.pth",
        "openai/clip-vit-large-patch14",
        "metric=aesthetic models.checkpoints.aesthetic.path=",
        "shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE",
    ),
    "dmd2_sdxl": Pickled(
        "tianweiy/DMD2",
        "dmd2_sdxl_1step_unet_fp16.bin",
        None,
        "models=dmd2_sdxl models.generator.parts.unet.path=",
    ),
}
