"""Checkpoints with random weights: published sizes and formats, a gradient from score to noise."""

import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open

from reno.spec.errors import BadInput
from reno.weights.architectures import NAMES, PUBLISHED, architecture, build, class_of
from reno.weights.folders import write_without_weights
from reno.weights.texts import load_tokenizer
from reno.weights.vocabularies import (
    WORDS,
    bert_vocabulary,
    clip_vocabulary,
    gemma_vocabulary,
    merges_for,
    t5_vocabulary,
)
from scripts import make_checkpoints
from scripts.make_checkpoints import make_checkpoint

FULL_PARAMETERS = {
    ("sd_turbo", "unet"): 865_910_724,
    ("sd_turbo", "vae"): 83_653_863,
    ("sd_turbo", "text_encoder"): 340_387_840,
    ("clip", ""): 151_277_313,
    ("clip_vit_h", ""): 986_109_441,
    ("blip", ""): 223_744_258,  # this and the next: counted, not published to the digit
    ("blip_large", ""): 446_128_642,
    ("blip_vqa", ""): 384_672_572 - 30_524 * 768,  # its file holds the word embedding twice
    ("clip_vit_l", ""): 427_616_513,
    ("mask2former", ""): 68_741_083,  # counted; the paper says 69 million
    ("owlv2", ""): 154_966_792,  # counted
    ("pickscore", ""): 986_109_441,  # of CLIP ViT-H/14
    ("hpsv2", ""): 986_109_441,  # of CLIP ViT-H/14
    ("imagereward", ""): 446_206_689,  # counted
    ("aesthetic", ""): 304_894_177,  # counted
    ("siglip2", ""): 375_187_970,  # counted
    ("blip2_itm", ""): 1_172_032_258,  # counted
    ("taesd", ""): 2_445_063,  # counted
    ("sana_sprint", "transformer"): 593_501_216,  # counted; the paper says 0.6 billion
    ("sana_sprint", "vae"): 312_250_275,  # counted
    ("sana_sprint", "text_encoder"): 2_614_341_888,  # published for Gemma 2 2B
    ("sana_sprint_1600m", "transformer"): 1_610_237_472,  # counted; the paper says 1.6 billion
    ("sana_sprint_1600m", "vae"): 312_250_275,  # of sana_sprint
    ("sana_sprint_1600m", "text_encoder"): 2_614_341_888,  # of sana_sprint
    ("flux_schnell", "transformer"): 11_891_178_560,  # counted; published as 11.9 billion
    ("flux_schnell", "vae"): 83_819_683,  # counted
    ("flux_schnell", "text_encoder"): 123_060_480,  # CLIP ViT-L/14's text encoder without its projection
    ("flux_schnell", "text_encoder_2"): 4_762_310_656,  # counted; the encoder of T5-XXL
    ("pixart_alpha", "transformer"): 611_349_152,  # counted; published as 611 million
    ("pixart_alpha", "vae"): 83_653_863,  # of sd_turbo
    ("pixart_alpha", "text_encoder"): 4_762_310_656,  # of flux_schnell
    ("pixart_dmd", "transformer"): 610_856_096,  # counted; the paper says 0.6 billion
    **{
        (name, part): count
        for name in ("sdxl_turbo", "sdxl_base")
        for part, count in {
            "unet": 2_567_463_684,
            "vae": 83_653_863,  # of SD-Turbo's
            "text_encoder": 123_060_480,
            "text_encoder_2": 694_659_840,
        }.items()
    },
    ("sdxl_vae", ""): 83_653_863,
    ("hyper_sdxl", ""): 2_567_463_684,
    ("dmd2_sdxl", ""): 2_567_463_684,
}
HARD_TEXT = "🐶 <script> ../a\nb"
PROMPT = "a gold bench and a green clock"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny(tiny):
    """A function from a name to the folder of its tiny checkpoint, one for all tests of a session."""
    return lambda name: make_checkpoint(name, "tiny", tiny)


@pytest.mark.slow
def test_full_size_has_its_number_of_parameters():
    counted, known = {}, {}
    for name in NAMES:
        for part in architecture(name, "full").parts:
            config = dict(part.config)
            if part.kind in ("UNet2DConditionModel", "AutoencoderKL"):
                config.pop("sample_size", None)  # of images, not weights
            same = part.kind, json.dumps(config, sort_keys=True)
            if same not in known:
                with torch.device("meta"):
                    known[same] = sum(parameter.numel() for parameter in build(part).parameters())
            counted[name, part.folder] = known[same]
    assert counted == FULL_PARAMETERS


@pytest.mark.parametrize("name", NAMES)
def test_tiny_has_the_classes_and_settings_of_full(name):
    """Same classes and configuration keys; and the same values but for sizes."""
    full, tiny = architecture(name, "full"), architecture(name, "tiny")
    for a, b in zip(full.parts, tiny.parts, strict=True):
        assert (a.folder, a.library, a.kind) == (b.folder, b.library, b.kind)
        assert _keys(a.config) == _keys(b.config)
        for key in ("down_block_types", "up_block_types", "hidden_act", "use_linear_projection"):
            assert a.config.get(key) == b.config.get(key)


def _keys(config: dict) -> dict:
    return {key: _keys(value) if isinstance(value, dict) else None for key, value in config.items()}


def test_a_new_architecture_is_new_data_and_no_code(tmp_path):
    """A pipeline of its own name with a second tokenizer, in a folder of its own."""
    published = tmp_path / "published"
    shutil.copytree(PUBLISHED / "sd_turbo", published / "another")
    place = published / "another" / "architecture.json"
    index = json.loads(place.read_text())
    index["published"] = "someone/another"
    index["tokenizers"] += [{"kind": "bert", "folder": "tokenizer_2", "pad_token": "[PAD]", "length": 40}]
    place.write_text(json.dumps(index))
    what = architecture("another", "tiny", published)
    assert what.published == "someone/another" and [part.folder for part in what.parts] == [
        "text_encoder", "unet", "vae",
    ]  # fmt: skip
    write_without_weights(what, tmp_path / "made")
    made = {path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.*")}
    assert {"model_index.json", "scheduler/scheduler_config.json", "unet/config.json", "tokenizer/merges.txt"} <= made
    assert (
        json.loads((tmp_path / "made" / "tokenizer_2" / "tokenizer_config.json").read_text())["model_max_length"] == 40
    )
    with pytest.raises(BadInput, match="no checkpoint is called 'sd_turbo'"):
        architecture("sd_turbo", "tiny", published)


def test_what_is_published_is_read_whole():
    full = architecture("sd_turbo")
    assert (full.published, full.image_size, full.vocabulary) == ("stabilityai/sd-turbo", 512, 49408)
    assert {part.folder: part.kind for part in full.parts} == {
        "text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel", "vae": "AutoencoderKL",
    }  # fmt: skip
    assert architecture("mask2former").tokenizers == () and architecture("mask2former").vocabulary == 0
    with pytest.raises(BadInput, match="clip_vit_h has no size 'testbed'; blip, clip have it"):
        architecture("clip_vit_h", "testbed")


# --- Weights and files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if architecture(name).parts[0].library != "diffusers"
                                  and not architecture(name).parts[0].folder])  # fmt: skip
def test_metrics_load_whole(tiny, name):
    kind = class_of(architecture(name, "tiny").parts[0])
    _, report = kind.from_pretrained(tiny(name), output_loading_info=True)
    assert not any(report.values()), report


def test_no_pickles_and_the_published_names(tiny):
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = tiny("sd_turbo")
    assert {path.suffix for name in NAMES for path in tiny(name).rglob("*") if path.is_file()} == {
        ".json", ".txt", ".safetensors", ".model",
    }  # fmt: skip
    with safe_open(folder / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(key.startswith("text_model.") for key in weights.keys())  # noqa: SIM118 (it is no dict)
    _, report = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", output_loading_info=True)
    assert not any(report.values()), report
    for kind, place in [
        (UNet2DConditionModel, folder / "unet"),
        (AutoencoderKL, folder / "vae"),
        (AutoencoderTiny, tiny("taesd")),
    ]:
        _, report = kind.from_pretrained(place, output_loading_info=True)
        assert not any(report.values()), report


def test_float16_is_float32_rounded_under_the_published_file_names(tiny, tmp_path):
    from diffusers import UNet2DConditionModel

    half = make_checkpoint("sd_turbo", "tiny", tmp_path, dtype="float16")
    assert (half / "unet" / "diffusion_pytorch_model.fp16.safetensors").exists()
    assert (half / "text_encoder" / "model.fp16.safetensors").exists()
    as_half = {"subfolder": "unet", "variant": "fp16", "torch_dtype": torch.float16}
    unet = UNet2DConditionModel.from_pretrained(half, **as_half)
    exact = UNet2DConditionModel.from_pretrained(tiny("sd_turbo"), subfolder="unet").state_dict()
    assert all(torch.equal(value, exact[key].half()) for key, value in unet.state_dict().items())


def test_weights_follow_the_seed(tiny, tmp_path):
    first = tiny("clip") / "model.safetensors"
    again = make_checkpoint("clip", "tiny", tmp_path / "again") / "model.safetensors"
    other = make_checkpoint("clip", "tiny", tmp_path / "other", seed=1) / "model.safetensors"
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_made_once_and_never_over_something_else(tmp_path):
    place = make_checkpoint("clip", "tiny", tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert make_checkpoint("clip", "tiny", tmp_path) == place == tmp_path / "clip"
    assert stamps == {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    with pytest.raises(BadInput, match="dtype 'float32'"):
        make_checkpoint("clip", "tiny", tmp_path, dtype="float16")
    (tmp_path / "blip").mkdir()
    with pytest.raises(BadInput, match="not made by this script"):
        make_checkpoint("blip", "tiny", tmp_path)


# --- What they compute --------------------------------------------------------------------------------------


def test_pipeline_makes_an_image(tiny):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny("sd_turbo"))
    pipe.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    one_step = {"num_inference_steps": 1, "guidance_scale": 0.0, "output_type": "pt"}
    images = pipe([PROMPT, HARD_TEXT], generator=seeds, **one_step).images
    assert images.shape == (2, 3, 64, 64)
    assert images.isfinite().all()
    assert images.std() > 0.1  # neither flat nor clipped
    assert not torch.equal(images[0], images[1])
    assert pipe.scheduler.timesteps.tolist() == [999]


@pytest.mark.parametrize(
    "name", ["clip", "blip", *(pytest.param(larger, marks=pytest.mark.slow) for larger in ("clip_vit_h", "blip_large"))]
)
def test_score_has_a_gradient_in_the_noise(tiny, name):
    """Through scheduler, U-Net, VAE decoder and metric: finite, and nowhere zero."""
    from diffusers import StableDiffusionPipeline
    from transformers import AutoTokenizer, BlipForImageTextRetrieval, CLIPModel

    pipe = StableDiffusionPipeline.from_pretrained(tiny("sd_turbo"))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pipe.scheduler.set_timesteps(1)
    t = pipe.scheduler.timesteps[0]
    with torch.no_grad():
        embedded, _ = pipe.encode_prompt(PROMPT, "cpu", 1, False)
    latents = noise * pipe.scheduler.init_noise_sigma
    predicted = pipe.unet(pipe.scheduler.scale_model_input(latents, t), t, embedded).sample
    clean = pipe.scheduler.step(predicted, t, latents).prev_sample
    image = pipe.vae.decode(clean / pipe.vae.config.scaling_factor).sample
    side = architecture(name, "tiny").image_size
    pixels = torch.nn.functional.interpolate(image, (side, side), mode="bilinear")
    text = AutoTokenizer.from_pretrained(tiny(name))(PROMPT, return_tensors="pt", return_token_type_ids=False)
    if name.startswith("clip"):
        model = CLIPModel.from_pretrained(tiny(name)).eval()
        assert model.logit_scale.exp().item() == pytest.approx(100.0)
        score = model(pixel_values=pixels, **text).logits_per_image
    else:
        model = BlipForImageTextRetrieval.from_pretrained(tiny(name)).eval()
        score = model(pixel_values=pixels, **text).itm_score[:, 1]
    (gradient,) = torch.autograd.grad(score.sum(), noise)
    assert gradient.isfinite().all()
    assert gradient.abs().min() > 0


def test_vqa_answers(tiny):
    from transformers import AutoTokenizer, BlipForQuestionAnswering

    model = BlipForQuestionAnswering.from_pretrained(tiny("blip_vqa")).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny("blip_vqa"))
    question = tokenizer("what color is the bench?", return_tensors="pt", return_token_type_ids=False)
    answer = tokenizer("gold", return_tensors="pt").input_ids
    with torch.no_grad():
        loss = model(pixel_values=torch.rand(1, 3, 48, 48), labels=answer, **question).loss
    assert loss.item() == pytest.approx(math.log(1280), rel=0.2)  # any word is as good


# --- Tokenizers, image processing ---------------------------------------------------------------------------


TEXTS = [HARD_TEXT, "", 'it\'s "quoted" \\ 100% café', "x" * 3000, "a dog, " * 500, "猫\u200d\x00"]


@pytest.mark.parametrize("name", [name for name in NAMES if architecture(name, "tiny").tokenizers])
def test_any_text_becomes_tokens(tiny, name):
    what = architecture(name, "tiny")
    limits = {"owlv2": 16, "blip": 512, "blip_large": 512, "blip_vqa": 512, "siglip2": 64, "imagereward": 512}
    limits |= {"sana_sprint": 8192, "sana_sprint_1600m": 8192, "pixart_alpha": 512, "blip2_itm": 512}
    for kind in what.tokenizers:
        tokenizer = load_tokenizer(tiny(name) / kind.folder)
        limit = 512 if kind.folder == "tokenizer_2" and name == "flux_schnell" else limits.get(name, 77)
        assert tokenizer.model_max_length == limit
        for text in TEXTS:
            tokens = tokenizer(text, truncation=True, padding="max_length").input_ids
            assert len(tokens) == limit, text
            assert all(0 <= token < what.rows(kind) for token in tokens), text


def test_clip_loses_nothing(tiny):
    """Byte-level: what comes back is the text, lower-cased, with runs of white space as one space."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tiny("clip"))
    ids = tokenizer(HARD_TEXT).input_ids
    assert (ids[0], ids[-1]) == (1278, 1279)  # the two highest, as published
    back = tokenizer.decode(ids, skip_special_tokens=True)
    assert back.replace(" ", "") == HARD_TEXT.replace(" ", "").replace("\n", "")
    sd_turbo = CLIPTokenizer.from_pretrained(tiny("sd_turbo") / "tokenizer")
    padded = sd_turbo(PROMPT, padding="max_length").input_ids
    assert padded[8:] == [1279] + [0] * 68  # "!", as published


@pytest.mark.parametrize("name", ["clip", "blip"])
def test_every_known_word_is_one_token(tiny, name):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny(name))
    assert {len(tokenizer(word, add_special_tokens=False).input_ids) for word in WORDS} == {1}


def test_siglip2_reads_words_bytes_and_an_end(tiny):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("siglip2"))
    vocabulary = tokenizer.get_vocab()
    assert [vocabulary[token] for token in ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<0x00>")] == list(range(6))
    assert tokenizer.convert_ids_to_tokens(tokenizer("a car").input_ids)[:2] == ["a", "▁car"]
    assert tokenizer("é").input_ids == [5 + 0xC3, 5 + 0xA9, 1]  # its two bytes, and the end
    assert tokenizer("a", padding="max_length").input_ids[1:] == [1] + [0] * 62
    assert {len(tokenizer(f"a {word}").input_ids) for word in WORDS if len(word) > 1} == {3}
    tokens, merges = gemma_vocabulary(256000)
    assert sorted(tokens.values()) == list(range(256000)) and all(left + right in tokens for left, right in merges)


def test_gemma_2_begins_a_text_and_keeps_its_case(tiny):
    tokenizer = load_tokenizer(tiny("sana_sprint") / "tokenizer")
    assert tokenizer("a Car car").input_ids[:1] == [2]  # <bos>
    assert tokenizer.tokenize("a Car car") == ["a", "▁", "C", "a", "r", "▁car"]


def test_t5_reads_words_and_an_end_and_both_of_its_files_are_one_tokenizer(tiny):
    """FLUX's tokenizer.json and PixArt's spiece.model, whose text encoders have the same number of rows."""
    whole = load_tokenizer(tiny("flux_schnell") / "tokenizer_2")
    pieces = load_tokenizer(tiny("pixart_alpha") / "tokenizer")
    assert {file.name for file in (tiny("pixart_alpha") / "tokenizer").iterdir()} == {
        "spiece.model", "tokenizer_config.json",
    }  # fmt: skip
    assert (len(whole), len(pieces)) == (1252, 1252)
    assert whole.tokenize(" a  car 猫") == ["▁", "a", "▁car", "▁", "猫"]
    assert whole("a car 猫").input_ids[-2:] == [2, 1]  # <unk>, </s>
    assert whole("a", padding="max_length").input_ids[-3:] == [0, 0, 0]
    for text in (PROMPT, HARD_TEXT, "", "x" * 90, "sentinel <extra_id_0>"):
        assert dict(whole(text, return_offsets_mapping=True)) == dict(pieces(text, return_offsets_mapping=True))
    assert whole.convert_tokens_to_ids(["<extra_id_99>", "<extra_id_0>"]) == [1152, 1251]  # the last, as published
    assert {len(whole.tokenize(word)) for word in WORDS if len(word) > 1} == {1}
    assert len(dict(t5_vocabulary(32000))) == 32000


def test_a_spiece_model_that_is_none_is_refused(tiny, tmp_path):
    place = tmp_path / "spiece.model"
    for content, said in (
        (b"", "is empty"),
        (b"\x0a\xff no message", "is no vocabulary of SentencePiece"),
        (b"\x0a\x05\x0a\x03abc", "is no vocabulary of a T5, which begins with <pad>, </s>, <unk>"),
    ):
        place.write_bytes(content)
        with pytest.raises(BadInput, match=said):
            load_tokenizer(tmp_path)


def test_merges_make_each_word_one_token_in_an_order_that_is_always_the_same():
    assert merges_for(["car", "cat", "at"]) == [("c", "a"), ("ca", "r</w>"), ("ca", "t</w>"), ("a", "t</w>")]


def test_blip_special_tokens(tiny):
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(tiny("blip"))
    assert tokenizer("[DEC] 🐶 [ENC]").input_ids == [101, 1278, 100, 1279, 102]
    assert tokenizer.pad_token_id == 0


def test_full_vocabularies():
    tokens, merges = clip_vocabulary(49408)
    assert sorted(tokens.values()) == list(range(49408))
    assert (tokens["!"], tokens["<|startoftext|>"], tokens["<|endoftext|>"]) == (0, 49406, 49407)
    assert all(left + right in tokens for left, right in merges)
    tokens = bert_vocabulary(30524)
    assert len(set(tokens)) == 30524
    special = ("[PAD]", "[UNK]", "[MASK]", "[DEC]", "[ENC]")
    assert [tokens.index(token) for token in special] == [0, 100, 103, 30522, 30523]


def test_image_processors_have_the_published_values(tiny):
    from transformers import BlipImageProcessor, CLIPImageProcessor

    clip = CLIPImageProcessor.from_pretrained(tiny("clip"))
    blip = BlipImageProcessor.from_pretrained(tiny("blip"))
    for made, default in [(clip, CLIPImageProcessor()), (blip, BlipImageProcessor())]:
        for key in ("image_mean", "image_std", "resample", "rescale_factor", "do_resize", "do_normalize"):
            assert getattr(made, key) == getattr(default, key), key
    assert (clip.size.shortest_edge, clip.crop_size.height, clip.crop_size.width) == (32, 32, 32)
    assert (blip.size.height, blip.size.width) == (48, 48)


# --- The command --------------------------------------------------------------------------------------------


def test_command_makes_and_then_leaves(tmp_path, capsys):
    ask = ["--out", str(tmp_path), "--size", "tiny", "clip", "blip"]
    assert make_checkpoints.main(ask) == 0
    first = capsys.readouterr().out.splitlines()
    assert make_checkpoints.main(ask) == 0
    second = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in first] == ["clip", "blip"]
    assert all("made in" in line for line in first) and all("complete already" in line for line in second)
    assert json.loads((tmp_path / "clip" / "config.json").read_text())["model_type"] == "clip"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "tiny", "clipp"], "did you mean 'clip'?"),
        (["--size", "tniy"], "did you mean 'tiny'?"),
        (["--size", "tiny", "--dtype", "float15"], "did you mean 'float16'?"),
        (["--size", "tiny", "--out", "/dev/null/x"], "cannot write /dev/null/x"),
    ],
)
def test_command_refuses_in_one_sentence(tmp_path, capsys, arguments, said):
    assert make_checkpoints.main(["--out", str(tmp_path), *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []
