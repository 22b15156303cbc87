"""Prompts that are too long for a text encoder."""

from __future__ import annotations

import json

import pytest

from analysis.data import load
from reno.running.long_prompts import _beginning, fit_prompts
from reno.running.plan import make_plan
from reno.running.reproducing import reproduce
from reno.running.unloaded import Unloaded
from reno.screen.screen import prompt_notes
from reno.spec.errors import BadInput
from reno.store.records import TrialRecord
from reno.store.store import Store

SHORT = "a red car"
LONG = " ".join(["a red car and"] * 30) + " a cup"
LONGER = LONG + " and a pot"


def fitted(compose, *knobs):
    plan = make_plan(compose(f"prompt=[{SHORT},{LONG},{LONGER}]", "evaluators=[]", *knobs))
    return fit_prompts(plan, Unloaded(load_own=False).too_long(plan))


def test_all_are_refused_at_once_with_their_counts(compose):
    with pytest.raises(
        BadInput, match=r"2 prompts are too long for a text encoder; .* on_long=skip .* on_long=cut"
    ) as e:
        fitted(compose)
    assert len(e.value.details) == 2
    count = len(LONG.split()) + 2  # the tiny tokenizer has these words whole
    assert f"{count} tokens of at most 77 for the generator's text encoder" in e.value.details[0]
    assert f"{count} tokens of at most 77 for CLIP's text encoder" in e.value.details[0]


def test_one_is_refused_in_one_sentence_with_what_would_be_cut(compose):
    plan = make_plan(compose(f"prompt={LONG}"))
    with pytest.raises(BadInput, match="…' would be cut; shorten it, or use on_long=skip") as caught:
        fit_prompts(plan, Unloaded(load_own=False).too_long(plan))
    assert caught.value.details == ()


def test_they_are_left_out_and_the_others_keep_their_trials(compose):
    plan = fitted(compose, "on_long=skip", "seed=[1,2]")
    alone = make_plan(compose(f"prompt={SHORT}", "seed=[1,2]"))
    assert [trial.id for trial in plan.trials] == [trial.id for trial in alone.trials]
    assert [prompt.text for prompt in plan.job.prompts] == [SHORT]
    assert plan.job.prompt_notes[-1].startswith("2 of 3 prompts are left out: they are too long for a text encoder (")


def test_no_prompt_left_is_refused(compose):
    plan = make_plan(compose(f"prompt={LONG}", "on_long=skip"))
    with pytest.raises(BadInput, match="every prompt is too long"):
        fit_prompts(plan, Unloaded(load_own=False).too_long(plan))


def test_a_cut_prompt_is_another_trial_and_says_what_each_encoder_reads(compose):
    plan, whole = fitted(compose, "on_long=cut"), make_plan(compose(f"prompt=[{SHORT},{LONG},{LONGER}]"))
    assert [one.id == other.id for one, other in zip(plan.trials, whole.trials, strict=True)] == [True, False, False]
    cut = plan.trials[1]
    assert cut.identity == {**whole.trials[1].identity, "on_long": "cut"}
    assert [said.split(" reads ")[0] for said in cut.prompt.cut] == [
        "the generator's text encoder",
        "CLIP's text encoder",
    ]
    assert all(said.endswith("a cup'") for said in cut.prompt.cut)


def test_an_encoder_reads_the_beginning_of_a_cut_prompt_and_no_more(compose, pool):
    """The first 75 words fill its 77 tokens."""
    import torch

    models = pool.load(fitted(compose, "on_long=cut"), torch.device("cpu"))
    beginning = " ".join(LONG.split()[:75])
    for encode in (models.generator.encode, models.metric.terms[0].encode):
        one, other, longer = (encode([text]) for text in (LONG, beginning, LONGER))
        assert torch.equal(one, other) and torch.equal(one, longer)
        assert not torch.equal(one, encode([" ".join(LONG.split()[:74])]))


def test_blip_reads_the_beginning_too(pool, compose):
    import torch

    metric = pool.load(make_plan(compose("metric=blip", f"prompt={SHORT}")), torch.device("cpu")).metric.terms[0]
    words = LONG.split() * 8
    beginning = " ".join(words[: metric.limit - 2])
    one, other = metric.encode([" ".join(words)]), metric.encode([beginning])
    assert torch.equal(one.embeddings, other.embeddings)


def test_the_record_says_so_the_trial_runs_again_and_the_analysis_reads_it(compose, run, pool, tmp_path):
    words = f"prompt=[{SHORT},{LONG}]", "evaluators=[]", "record=[]", "on_long=cut", "batch_size=2"
    outcome = run(*words, folder="results/jobs/one")
    assert len(outcome.done) == 2 and not outcome.failed
    store = Store(tmp_path / "results")
    plain, cut = (store.find(trial) for trial in outcome.done)
    assert "cut" not in plain.record.to_json() and "on_long" not in plain.record.to_json()["spec"]
    assert len(cut.record.cut) == 2 and TrialRecord.from_json(cut.record.to_json()).trial.id == cut.id
    assert reproduce(cut, pool).identical
    results = load(tmp_path / "results")
    assert not results.damaged and set(results.trials["cut"]) == {"", "; ".join(cut.record.cut)}
    states = json.loads((tmp_path / "results/jobs/one/job.json").read_text())["trials"]
    assert [state.get("on_long") for state in states] == [None, "cut"]


FILLER = " ".join(["a dog and"] * 24)  # 72 of the 75 words that fill 77 tokens


def judged(compose, tmp_path, entry, *knobs):
    """The prompt of one JSON line as a job with on_long=cut has it, and the job's last note."""
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(entry) + "\n")
    plan = make_plan(compose(f"prompts={path}", "on_long=cut", "evaluators=[]", *knobs))
    plan = fit_prompts(plan, Unloaded(load_own=False).too_long(plan))
    (trial,) = plan.trials
    assert plan.job.prompts == (trial.prompt,)
    return trial.prompt, plan.job.prompt_notes[-1]


def pairs(prompt):
    return [(one.attribute, one.object) for one in prompt.bindings]


def test_a_binding_beyond_what_the_generator_reads_is_not_judged(compose, tmp_path):
    text = f"a red car and a blue cup and {FILLER} a green clock"
    prompt, note = judged(compose, tmp_path, {"prompt": text})
    assert pairs(prompt) == [("red", "car"), ("blue", "cup")] and prompt.cut
    assert "1 binding is beyond what the generator reads and not judged" in note


def test_a_noun_that_is_cut_off_its_attribute_is_not_judged_under_what_is_left(compose, tmp_path):
    """The 75th word is `traffic`: of the green traffic light a green traffic is read."""
    prompt, _ = judged(compose, tmp_path, {"prompt": f"{FILLER} a green traffic light"})
    assert pairs(prompt) == [] and prompt.cut


def test_a_given_binding_is_judged_if_both_of_its_words_are_read(compose, tmp_path):
    given = [["red", "car"], ["red", "cup"], ["rose", "clock"]]
    text = f"a car red as a rose and {FILLER} a cup near a clock"
    prompt, note = judged(compose, tmp_path, {"prompt": text, "bindings": given})
    assert pairs(prompt) == [("red", "car")] and "2 bindings are beyond" in note


def test_genevals_lists_stay_only_if_all_they_name_is_read(compose, tmp_path):
    lists = {"include": [{"class": "car", "color": "red"}, {"class": "cup"}], "exclude": [{"class": "cup", "count": 2}]}
    short, _ = judged(compose, tmp_path, {"prompt": f"a red car and a cup and {FILLER}", **lists})
    assert short.cut and len(short.wanted) == 2 and len(short.unwanted) == 1 and pairs(short) == [("red", "car")]
    long, _ = judged(compose, tmp_path, {"prompt": f"a red car and {FILLER} {FILLER} a cup", **lists})
    assert long.wanted == long.unwanted == () and pairs(long) == [("red", "car")]


def test_what_a_metric_alone_does_not_read_is_judged(compose):
    """The generator was asked for it, whichever metric is optimised."""
    text = f"a red car and {FILLER} a green clock"
    plan = make_plan(compose(f"prompt={text}", "on_long=cut", "evaluators=[]"))
    long = Unloaded(load_own=False).too_long(plan)
    assert [one.by_generator for one in long[text]] == [True, False]
    plan = fit_prompts(plan, {text: long[text][1:]})
    assert pairs(plan.trials[0].prompt) == [("red", "car"), ("green", "clock")]


def test_a_word_in_the_middle_of_which_the_reading_ends_is_not_read():
    assert _beginning("a red umbrella ", "brella") == "a red "
    assert _beginning("a red car, a cup", ", a cup") == "a red car"
    assert _beginning("a red car a cup", "a cup") == "a red car "


def test_a_job_says_of_a_prompt_whose_bindings_are_all_beyond_the_cut_why_it_is_not_judged(compose):
    plan = make_plan(compose(f"prompt=[{SHORT},{FILLER} a green traffic light]", "on_long=cut", "evaluators=blip_vqa"))
    notes = prompt_notes(fit_prompts(plan, Unloaded(load_own=False).too_long(plan)))
    (note,) = [note for note in notes if "nothing that a judge here looks for" in note]
    assert note.startswith("note: 1 prompt has") and note.endswith("the generator does not read what it asks for)")
