"""BLIP-VQA: its protocol on answers that are written down, its model against transformers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest
import torch

from reno.evaluators import blip_vqa
from reno.prompts.reader import prompt_from_text
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt
from reno.weights.images import Preprocessing

CPU = torch.device("cpu")
PAIR = prompt_from_text("a gold bench and a green clock", "prompt")


# --- BLIP-VQA: what is asked, what the answers mean ----------------------------------------------------------


def test_each_phrase_object_attribute_and_exchange_is_asked_once():
    assert blip_vqa.questions(PAIR.bindings) == [
        "a gold bench?", "a green clock?", "a bench?", "a clock?", "gold?", "green?", "a green bench?", "a gold clock?",
    ]  # fmt: skip
    assert blip_vqa.questions([Binding("orange", "apple")]) == ["an orange apple?", "an apple?", "orange?"]
    same = [Binding("red", "car"), Binding("red", "cup")]
    assert len(blip_vqa.questions(same)) == len(set(blip_vqa.questions(same))) == 5  # nothing to exchange


def answers(**given):
    """Probabilities of yes, 0.1 for what is not given; `a_gold_bench` stands for "a gold bench?"."""
    said = {question.replace("_", " ") + "?": p for question, p in given.items()}
    return {question: said.get(question, 0.1) for question in blip_vqa.questions(PAIR.bindings)}


def test_the_score_is_the_product_over_phrases_and_half_is_enough():
    verdict = blip_vqa.verdict(PAIR.bindings, answers(a_gold_bench=0.5, a_green_clock=0.3, a_bench=0.9, green=0.6), 0.5)
    bench, clock = verdict.judgements
    assert (bench.bound, bench.object_present, bench.attribute_present) == (True, True, False)
    assert (clock.bound, clock.object_present, clock.attribute_present) == (False, False, True)
    assert (bench.bound_confidence, bench.object_confidence, clock.attribute_confidence) == (0.5, 0.9, 0.6)
    assert verdict.score == pytest.approx(0.15)
    assert msgspec.to_builtins(verdict)["score"] == verdict.score
    assert verdict.faults == {"swapped": False, "missing": True}


def test_an_image_that_was_asked_nothing_has_no_score():
    assert blip_vqa.verdict((), {}, 0.5).score is None


def test_a_swap_is_both_exchanged_phrases_and_each_more_than_its_own():
    swapped = answers(a_green_bench=0.8, a_gold_clock=0.7, a_bench=0.9, a_clock=0.9)
    assert blip_vqa.verdict(PAIR.bindings, swapped, 0.5).faults == {"swapped": True, "missing": False}
    for change in ({"a_gold_clock": 0.4}, {"a_gold_bench": 0.9}):
        other = {**swapped, **{q.replace("_", " ") + "?": p for q, p in change.items()}}
        assert not blip_vqa.verdict(PAIR.bindings, other, 0.5).faults["swapped"]


def test_half_is_enough_for_each_part_and_for_a_swap_only_where_it_is_more_than_its_own():
    half = dict.fromkeys(("a_gold_bench", "a_bench", "gold", "a_green_bench", "a_gold_clock"), 0.5)
    verdict = blip_vqa.verdict(PAIR.bindings, answers(**half), 0.5)
    bench, clock = verdict.judgements
    assert (bench.attribute, bench.object, clock.attribute, clock.object) == ("gold", "bench", "green", "clock")
    assert (bench.object_present, bench.attribute_present, bench.bound) == (True, True, True)
    assert not verdict.faults["swapped"]  # "a green bench?" is answered like "a gold bench?"
    verdict = blip_vqa.verdict(PAIR.bindings, answers(**{**half, "a_gold_bench": 0.49}), 0.5)
    assert verdict.faults["swapped"] and not verdict.judgements[0].bound


def test_a_judged_batch_gives_each_image_its_own_answers(vqa, images, monkeypatch):
    told = {"a red car?": 0.9, "a car?": 0.9, "red?": 0.9}
    shown = []

    def ask(images, texts):
        shown.append(images)
        return [[told.get(text, 0.2) for text in few] for few in texts]

    monkeypatch.setattr(vqa, "ask", ask)
    pair, car = vqa.judge(images, [PAIR, prompt_from_text("a red car", "prompt")])
    assert [j.bound for j in pair.judgements] == [False, False] and [j.bound for j in car.judgements] == [True]
    assert (vqa.name, vqa.kin) == ("blip_vqa", "blip") and shown == [images]


# --- BLIP-VQA: its model against transformers' own generate ---------------------------------------------------


def test_the_answer_is_that_of_transformers_generate(vqa, images):
    """p(yes) / (p(yes) + p(no)) of a softmax over the whole vocabulary, from the scores of transformers' generate."""
    tokens = vqa.tokenizer("a gold bench?", return_tensors="pt")
    tokens.input_ids[:, 0] = vqa.tokenizer.convert_tokens_to_ids("[ENC]")
    yes, no = vqa.tokenizer.convert_tokens_to_ids(["yes", "no"])
    for image, (mine,) in zip(images, vqa.ask(images, [["a gold bench?"]] * 2), strict=True):
        written = vqa.model.generate(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            pixel_values=vqa.preprocess(image[None]),
            max_new_tokens=1,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        p = written.scores[0].softmax(-1)[0]
        assert mine == pytest.approx((p[yes] / (p[yes] + p[no])).item(), abs=1e-6)


def test_an_answer_knows_nothing_of_the_other_questions_and_images(vqa, images):
    texts = [["a gold bench?", "gold?"], ["a shiny green traffic light?"]]
    together = vqa.ask(images, texts)
    for place, few in enumerate(texts):
        for text, answer in zip(few, together[place], strict=True):
            assert vqa.ask(images[place : place + 1], [[text]])[0][0] == pytest.approx(answer, abs=1e-6)
    assert vqa.ask(images, texts) == together  # deterministic
    assert len({round(answer, 9) for few in together for answer in few}) == 3


def test_more_pixels_are_an_interpolated_position_table(tiny, vqa, images):
    larger = blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=96)
    assert larger.preprocess(images).shape == (2, 3, 96, 96)
    (answer,) = larger.ask(images[:1], [["a gold bench?"]])[0]
    assert 0 < answer < 1 and answer != vqa.ask(images[:1], [["a gold bench?"]])[0][0]
    with pytest.raises(BadInput, match=r"not a multiple of 16.*for example 96"):
        blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=100)


def test_it_is_loaded_with_the_papers_settings_unless_others_are_given(tiny):
    usual = blip_vqa.load("mine", {"blip_vqa": tiny / "blip_vqa"}, CPU)
    assert (usual.name, usual.kin, usual.threshold, usual.preprocess.size) == ("mine", "blip", 0.5, (480, 480))
    own = blip_vqa.load("mine", {"blip_vqa": tiny / "blip_vqa"}, CPU, threshold=0.7, image_size=64)
    assert (own.threshold, own.preprocess.size) == (0.7, (64, 64))
    assert own.parts == (own.model,)


def test_a_size_that_is_asked_for_is_not_cropped(tiny, monkeypatch):
    cropping = replace(Preprocessing.from_folder(tiny / "blip_vqa"), crop=(32, 32))
    monkeypatch.setattr(Preprocessing, "from_folder", lambda folder: cropping)
    assert blip_vqa.load("mine", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=64).preprocess.crop is None


def test_a_vocabulary_without_yes_no_or_enc_is_not_one_of_questions(vqa, tiny, monkeypatch):
    """The question's first token is the last of the vocabulary, after [DEC], with which a text begins."""
    assert vqa.encode == vqa.tokenizer.convert_tokens_to_ids("[ENC]")
    config, words, asked = vqa.model.config, len(vqa.tokenizer), []

    class Sized:
        """The tiny model's configuration, with another begin of texts."""

        def __init__(self, begin):
            text = SimpleNamespace(bos_token_id=begin, vocab_size=words, max_position_embeddings=64)
            self.config = SimpleNamespace(vision_config=config.vision_config, text_config=text)
            self.decoder_start_token_id = begin

    def load(begin):
        monkeypatch.setattr(blip_vqa, "load_model", lambda kind, folder, *where: asked.append(where) or Sized(begin))
        return blip_vqa.load("mine", {"blip_vqa": tiny / "blip_vqa"}, CPU)

    says = (
        f"{tiny / 'blip_vqa'} is not a BLIP that answers questions: its vocabulary lacks yes, no or [ENC]; give one "
        "with models.checkpoints.blip_vqa.path=FOLDER"
    )
    assert load(words - 2).encode == words - 1 and asked == [(torch.float32, CPU)]
    with pytest.raises(BadInput) as without_enc:
        load(words - 1)
    assert str(without_enc.value) == says
    ids = vqa.tokenizer.convert_tokens_to_ids
    unknown = SimpleNamespace(unk_token_id=ids("yes"), convert_tokens_to_ids=ids)
    monkeypatch.setattr(blip_vqa, "load_tokenizer", lambda folder: unknown)
    monkeypatch.setattr(blip_vqa, "text_limit", lambda *args: 64)
    with pytest.raises(BadInput) as without_yes:
        load(words - 2)
    assert str(without_yes.value) == says


def test_at_most_sixty_four_questions_of_one_length_are_asked_together(vqa):
    short, long = vqa._parts([["gold?"] * 65, ["gold?", "a gold bench?"]]), vqa._parts([["a gold bench?", "gold?"]])
    assert [len(part) for part in short] == [64, 2, 1] and [len(part) for part in long] == [1, 1]


def test_a_question_that_would_be_cut_is_refused(vqa):
    with pytest.raises(BadInput, match="BLIP-VQA's text encoder"):
        vqa.check_prompt(Prompt("x", (Binding("red", "zebra " * 600),)))
    assert vqa.limit == min(vqa.tokenizer.model_max_length, vqa.model.config.text_config.max_position_embeddings)


def test_without_the_weights_the_same_questions_and_sizes_are_refused(tiny, vqa):
    folders, long = {"blip_vqa": tiny / "blip_vqa"}, Prompt("x", (Binding("red", "zebra " * 600),))
    read = blip_vqa.reader("mine", folders, threshold=0.7)
    read.check_prompt(PAIR)
    assert read.name == "mine"
    with pytest.raises(BadInput) as by_the_judge:
        vqa.check_prompt(long)
    with pytest.raises(BadInput) as without_weights:
        read.check_prompt(long)
    assert str(without_weights.value) == str(by_the_judge.value)
    for size in (None, 96):
        assert blip_vqa.reader("mine", folders, image_size=size).name == "mine"
    for refusing in (
        lambda: blip_vqa.reader("mine", folders, image_size=100),
        lambda: blip_vqa.load("mine", folders, CPU, image_size=100),
    ):
        with pytest.raises(BadInput) as refused:
            refusing()
        assert str(refused.value) == (
            f"mine: image_size=100 is not a multiple of 16, the patch size of {tiny / 'blip_vqa'}; use for example 96"
        )
    with pytest.raises(BadInput, match=r"use for example 16$"):
        blip_vqa.reader("mine", folders, image_size=3)


def test_of_a_checkpoint_that_does_not_say_its_patches_no_image_size_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert blip_vqa.reader("mine", {"blip_vqa": tmp_path}, image_size=100).name == "mine"
