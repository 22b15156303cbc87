"""Reward models that transformers has no class for, composed of its modules, in its format: a folder with config.json
and model.safetensors, read and written by from_pretrained and save_pretrained.

Both end in one number from five linear layers, with no activation between them.
"""

from __future__ import annotations

from torch import nn
from transformers import BlipConfig, BlipTextModel, BlipVisionModel, CLIPVisionConfig
from transformers.models.blip.modeling_blip import BlipPreTrainedModel
from transformers.models.clip.modeling_clip import CLIPPreTrainedModel, CLIPVisionModel

WIDTHS = (1024, 128, 64, 16, 1)
"""Features after each layer of a head."""


def reward_head(features: int) -> nn.Sequential:
    """Linear layers from (B, features) to (B, 1). In training, dropout stood between the first four."""
    return nn.Sequential(
        *(nn.Linear(before, after) for before, after in zip((features, *WIDTHS), WIDTHS, strict=False))
    )


class ImageRewardModel(BlipPreTrainedModel):
    """ImageReward (Xu et al. 2023, arXiv 2304.05977, section 3.1): BLIP's image encoder, its text encoder that attends
    to the image, and a head on the text's first token."""

    config_class = BlipConfig

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        self.vision_model = BlipVisionModel._from_config(config.vision_config)
        self.text_encoder = BlipTextModel._from_config(config.text_config, add_pooling_layer=False)
        self.mlp = reward_head(config.text_config.hidden_size)
        self.post_init()


class AestheticModel(CLIPPreTrainedModel):
    """LAION's improved aesthetic predictor (Schuhmann 2022): CLIP's image encoder and a head on its feature."""

    config_class = CLIPVisionConfig

    def __init__(self, config: CLIPVisionConfig):
        super().__init__(config)
        self.vision_model = CLIPVisionModel._from_config(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)
        self.mlp = reward_head(config.projection_dim)
        self.post_init()
