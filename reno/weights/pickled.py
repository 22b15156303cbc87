"""The rewards that are published as pickles, which no metric loads: `python -m reno.convert` makes a folder of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pickled:
    """One published file."""

    publisher: str
    """Where it is from, a repository of the hub or of GitHub; the path that conf/metric gives."""
    file: str
    base: str
    """The checkpoint of the hub that gives what the file lacks: the tokenizer, for `aesthetic` the image encoder."""


PICKLED = {
    "hpsv2": Pickled("xswu/HPSv2", "HPS_v2.1_compressed.pt", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
    "imagereward": Pickled("zai-org/ImageReward", "ImageReward.pt", "Salesforce/blip-itm-base-coco"),
    "aesthetic": Pickled(
        "christophschuhmann/improved-aesthetic-predictor",
        "sac+logos+ava1-l14-linearMSE.pth",
        "openai/clip-vit-large-patch14",
    ),
}
