"""The three rewards as their authors publish them: the names and shapes of their files' weights at a small size with
random values, and what they compute, written out from the descriptions of the architectures with tensors alone."""

from __future__ import annotations

import itertools

import torch
from torch.nn.functional import conv2d, gelu, normalize

from reno.weights.architectures import architecture

HEAD = {0: (1024, None), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}
"""The linear layers of a head by their place: features after and before each."""


def config(name: str) -> tuple[dict, dict]:
    """The settings of the text and the image encoder at size tiny."""
    whole = architecture(name, "tiny").parts[0].config
    return whole.get("text_config", {}), whole.get("vision_config", whole)


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Float32 values of these shapes; the scales of norms are near 1."""
    generator = torch.Generator().manual_seed(11)
    made = {}
    for key, shape in shapes.items():
        value = torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
        made[key] = value + 1 if len(shape) == 1 and key.endswith("weight") else value
    return made


def pair(name: str, after: int, before: int | None = None) -> dict[str, tuple[int, ...]]:
    """Weight and bias of a linear layer, or of a norm."""
    return {f"{name}.weight": (after,) if before is None else (after, before), f"{name}.bias": (after,)}


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights, name, x, eps):
    spread = x.var(-1, unbiased=False, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) / (spread + eps).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(queries, keys, values, heads, hidden=None):
    """Softmax attention (B, N, D) of several heads. hidden: True where a query does not see a key."""
    queries, keys, values = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (queries, keys, values))
    logits = queries @ keys.mT / queries.shape[-1] ** 0.5
    if hidden is not None:
        logits = logits.masked_fill(hidden, float("-inf"))
    return (logits.softmax(-1) @ values).transpose(1, 2).flatten(2)


def head_shapes(prefix: str, features: int) -> dict[str, tuple[int, ...]]:
    found = {}
    for place, (after, before) in HEAD.items():
        found |= pair(f"{prefix}layers.{place}", after, before or features)
    return found


def head(weights, prefix, x):
    for place in HEAD:
        x = linear(weights, f"{prefix}layers.{place}", x)
    return x.squeeze(-1)


# --- HPS v2.1: OpenCLIP -----------------------------------------------------------------------------------------------


def hpsv2_weights() -> dict[str, torch.Tensor]:
    text, vision = config("hpsv2")
    wide, seen, side = text["hidden_size"], vision["hidden_size"], vision["image_size"] // vision["patch_size"]
    shapes = {
        "logit_scale": (), "positional_embedding": (77, wide), "text_projection": (wide, text["projection_dim"]),
        "token_embedding.weight": (text["vocab_size"], wide), "visual.class_embedding": (seen,),
        "visual.conv1.weight": (seen, 3, vision["patch_size"], vision["patch_size"]),
        "visual.positional_embedding": (side**2 + 1, seen), "visual.proj": (seen, text["projection_dim"]),
        **pair("ln_final", wide), **pair("visual.ln_pre", seen), **pair("visual.ln_post", seen),
    }  # fmt: skip
    for prefix, width, one in (("", wide, text), ("visual.", seen, vision)):
        for i in range(one["num_hidden_layers"]):
            block = f"{prefix}transformer.resblocks.{i}"
            shapes |= pair(f"{block}.ln_1", width) | pair(f"{block}.ln_2", width)
            shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
            shapes |= pair(f"{block}.attn.out_proj", width, width)
            shapes |= pair(f"{block}.mlp.c_fc", 4 * width, width) | pair(f"{block}.mlp.c_proj", width, 4 * width)
    return random_weights(shapes)


def hpsv2_score(weights, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The cosine of images and texts; a text's feature is at its last token, which has the highest id."""
    text, vision = config("hpsv2")

    def tower(x, prefix, one, hidden=None):
        for i in range(one["num_hidden_layers"]):
            block = f"{prefix}transformer.resblocks.{i}"
            y = norm(weights, f"{block}.ln_1", x, 1e-5)
            packed = y @ weights[f"{block}.attn.in_proj_weight"].T + weights[f"{block}.attn.in_proj_bias"]
            y = attention(*packed.chunk(3, -1), one["num_attention_heads"], hidden)
            x = x + linear(weights, f"{block}.attn.out_proj", y)
            y = gelu(linear(weights, f"{block}.mlp.c_fc", norm(weights, f"{block}.ln_2", x, 1e-5)))
            x = x + linear(weights, f"{block}.mlp.c_proj", y)
        return x

    seen = conv2d(pixels, weights["visual.conv1.weight"], stride=vision["patch_size"]).flatten(2).mT
    first = weights["visual.class_embedding"].expand(len(seen), 1, -1)
    seen = torch.cat([first, seen], 1) + weights["visual.positional_embedding"]
    seen = tower(norm(weights, "visual.ln_pre", seen, 1e-5), "visual.", vision)
    image = norm(weights, "visual.ln_post", seen[:, 0], 1e-5) @ weights["visual.proj"]
    read = weights["token_embedding.weight"][ids] + weights["positional_embedding"][: ids.shape[1]]
    later = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
    read = norm(weights, "ln_final", tower(read, "", text, later), 1e-5)
    words = read[torch.arange(len(ids)), ids.argmax(1)] @ weights["text_projection"]
    return (normalize(image, dim=-1) * normalize(words, dim=-1)).sum(-1)


# --- ImageReward: BLIP ------------------------------------------------------------------------------------------------


def imagereward_weights() -> dict[str, torch.Tensor]:
    text, vision = config("imagereward")
    wide, seen, patch = text["hidden_size"], vision["hidden_size"], vision["patch_size"]
    eye, reader = "blip.visual_encoder", "blip.text_encoder"
    shapes = {
        f"{eye}.cls_token": (1, 1, seen),
        f"{eye}.pos_embed": (1, (vision["image_size"] // patch) ** 2 + 1, seen),
        f"{eye}.patch_embed.proj.weight": (seen, 3, patch, patch), f"{eye}.patch_embed.proj.bias": (seen,),
        f"{reader}.embeddings.position_ids": (1, 512),
        f"{reader}.embeddings.word_embeddings.weight": (text["vocab_size"], wide),
        f"{reader}.embeddings.position_embeddings.weight": (512, wide),
        **pair(f"{eye}.norm", seen), **pair(f"{reader}.embeddings.LayerNorm", wide),
        **pair("blip.vision_proj", 256, seen), **pair("blip.text_proj", 256, wide), **head_shapes("mlp.", wide),
    }  # fmt: skip
    for i in range(vision["num_hidden_layers"]):
        block = f"{eye}.blocks.{i}"
        shapes |= pair(f"{block}.norm1", seen) | pair(f"{block}.norm2", seen)
        shapes |= pair(f"{block}.attn.qkv", 3 * seen, seen) | pair(f"{block}.attn.proj", seen, seen)
        shapes |= pair(f"{block}.mlp.fc1", 4 * seen, seen) | pair(f"{block}.mlp.fc2", seen, 4 * seen)
    for i, (kind, of) in itertools.product(
        range(text["num_hidden_layers"]), (("attention", wide), ("crossattention", seen))
    ):
        layer = f"{reader}.encoder.layer.{i}"
        shapes |= pair(f"{layer}.{kind}.self.query", wide, wide) | pair(f"{layer}.{kind}.self.key", wide, of)
        shapes |= pair(f"{layer}.{kind}.self.value", wide, of) | pair(f"{layer}.{kind}.output.dense", wide, wide)
        shapes |= pair(f"{layer}.{kind}.output.LayerNorm", wide) | pair(f"{layer}.output.LayerNorm", wide)
        shapes |= pair(f"{layer}.intermediate.dense", 4 * wide, wide) | pair(f"{layer}.output.dense", wide, 4 * wide)
    return random_weights(shapes)


def imagereward_score(weights, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The standardised reward of images and texts."""
    text, vision = config("imagereward")
    eye, reader = "blip.visual_encoder", "blip.text_encoder"
    stem = f"{eye}.patch_embed.proj"
    seen = conv2d(pixels, weights[f"{stem}.weight"], weights[f"{stem}.bias"], stride=vision["patch_size"])
    seen = torch.cat([weights[f"{eye}.cls_token"].expand(len(pixels), -1, -1), seen.flatten(2).mT], 1)
    seen = seen + weights[f"{eye}.pos_embed"]
    for i in range(vision["num_hidden_layers"]):
        block = f"{eye}.blocks.{i}"
        packed = linear(weights, f"{block}.attn.qkv", norm(weights, f"{block}.norm1", seen, 1e-6))
        y = attention(*packed.chunk(3, -1), vision["num_attention_heads"])
        seen = seen + linear(weights, f"{block}.attn.proj", y)
        y = gelu(linear(weights, f"{block}.mlp.fc1", norm(weights, f"{block}.norm2", seen, 1e-6)))
        seen = seen + linear(weights, f"{block}.mlp.fc2", y)
    seen = norm(weights, f"{eye}.norm", seen, 1e-6)

    words = weights[f"{reader}.embeddings.word_embeddings.weight"][ids]
    words = words + weights[f"{reader}.embeddings.position_embeddings.weight"][: ids.shape[1]]
    words = norm(weights, f"{reader}.embeddings.LayerNorm", words, 1e-12)
    empty = (mask == 0)[:, None, None]
    for i in range(text["num_hidden_layers"]):
        layer = f"{reader}.encoder.layer.{i}"
        for kind, others, hidden in (("attention", None, empty), ("crossattention", seen, None)):
            others = words if others is None else others
            queries = linear(weights, f"{layer}.{kind}.self.query", words)
            keys, values = (linear(weights, f"{layer}.{kind}.self.{one}", others) for one in ("key", "value"))
            y = attention(queries, keys, values, text["num_attention_heads"], hidden)
            y = linear(weights, f"{layer}.{kind}.output.dense", y)
            words = norm(weights, f"{layer}.{kind}.output.LayerNorm", words + y, 1e-12)
        y = linear(weights, f"{layer}.output.dense", gelu(linear(weights, f"{layer}.intermediate.dense", words)))
        words = norm(weights, f"{layer}.output.LayerNorm", words + y, 1e-12)
    return (head(weights, "mlp.", words[:, 0]) - 0.16717362830052426) / 1.0333394966054072


# --- The aesthetic predictor: a head on CLIP --------------------------------------------------------------------------


def aesthetic_weights() -> dict[str, torch.Tensor]:
    return random_weights(head_shapes("", config("aesthetic")[1]["projection_dim"]))


def aesthetic_score(weights, features: torch.Tensor) -> torch.Tensor:
    """The rating of images with these CLIP features (B, D)."""
    return head(weights, "", normalize(features, dim=-1))
