"""Prompts with more tokens than a text encoder reads: refused, left out or cut, as the knob `on_long` says.

Judges look only for what the generator reads of a cut prompt. It was not asked for the rest, so that a binding of the
rest would count as wrong whatever is optimised. What only a metric does not read is judged: the generator was asked for
it, whichever metric is optimised, and so all metrics are judged by the same bindings.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from reno.prompts.reader import read_text
from reno.running.plan import Plan
from reno.spec.errors import BadInput
from reno.spec.prompts import Prompt
from reno.weights.texts import TooLong, shortened


def fit_prompts(plan: Plan, long: Mapping[str, Sequence[TooLong]]) -> Plan:
    """The plan without the prompts that are too long, or with them marked as cut; a cut prompt is part of the trial's
    identity. long: by prompt, an error for each text encoder that would cut it. Raises BadInput, which lists them all,
    if `on_long` is `refuse`, or if no prompt is left."""
    on_long = plan.job.on_long
    if not long:
        return plan
    if on_long == "refuse":
        raise _refusal(long)
    if on_long == "cut":
        fitted = {prompt.text: _as_cut(prompt, long.get(prompt.text, ())) for prompt in plan.job.prompts}
        unread = sum(len(one.bindings) - len(fitted[one.text].bindings) for one in plan.job.prompts)
        are = f"{unread} binding{' is' if unread == 1 else 's are'}"
        said = f"cut: a text encoder reads only their beginning; {are} beyond what the generator reads and not judged"
    else:
        fitted = {prompt.text: prompt for prompt in plan.job.prompts if prompt.text not in long}
        said = "left out: they are too long for a text encoder"
    if not fitted:
        raise BadInput("every prompt is too long for a text encoder; shorten them, or use on_long=cut", _lines(long))
    note = f"{len(long)} of {len(plan.job.prompts)} prompts are {said} ({'; '.join(_few(_lines(long)))})"
    trials = [trial for trial in plan.trials if trial.prompt.text in fitted]
    return dataclasses.replace(
        plan,
        job=dataclasses.replace(plan.job, prompts=tuple(fitted.values()), prompt_notes=(*plan.job.prompt_notes, note)),
        trials=tuple(dataclasses.replace(trial, prompt=fitted[trial.prompt.text]) for trial in trials),
    )


def _as_cut(prompt: Prompt, long: Sequence[TooLong]) -> Prompt:
    said = (f"{one.reader} reads {one.limit} of {one.tokens} tokens, without {one.rest!r}" for one in long)
    prompt = dataclasses.replace(prompt, cut=tuple(dict.fromkeys(said)))  # two metrics may have encoders of one kind
    unread = next((one.rest for one in long if one.by_generator), "")
    return _asking_for(prompt, _beginning(prompt.text, unread)) if unread else prompt


def _beginning(text: str, rest: str) -> str:
    """The text without its rest, and without a word that the rest goes on."""
    beginning = text.rstrip().removesuffix(rest)
    return re.sub(r"\w+$", "", beginning) if rest[0].isalnum() else beginning


def _asking_for(prompt: Prompt, beginning: str) -> Prompt:
    """The prompt with only those bindings that the beginning of its text asks for. GenEval's lists are one verdict:
    they stay if the beginning names all of their objects and colours."""
    read, whole = read_text(beginning).bindings, read_text(prompt.text).bindings
    words = set(re.findall(r"\w+", beginning.lower()))

    def named(*phrases: str | None) -> bool:
        return all(word in words for phrase in phrases if phrase for word in re.findall(r"\w+", phrase.lower()))

    kept = [
        one for one in prompt.bindings if named(one.attribute, one.object) and (one in read or one not in whole)
    ]  # one that the text was not read to hold was given with it
    wanted = all(named(one.object, one.color) for one in prompt.wanted)
    return dataclasses.replace(
        prompt,
        bindings=tuple(kept),
        wanted=prompt.wanted if wanted else (),
        unwanted=prompt.unwanted if wanted else (),
    )


def _refusal(long: Mapping[str, Sequence[TooLong]]) -> BadInput:
    how = "use on_long=skip to leave out such prompts, or on_long=cut to cut them"
    if len(long) == 1:
        ((first, *_),) = long.values()
        return BadInput(f"{first}, or {how}")
    return BadInput(f"{len(long)} prompts are too long for a text encoder; shorten them, or {how}", _lines(long))


def _lines(long: Mapping[str, Sequence[TooLong]]) -> list[str]:
    """For each prompt its text, and its tokens by text encoder."""
    counts = {
        text: dict.fromkeys(f"{one.tokens} tokens of at most {one.limit} for {one.reader}" for one in found)
        for text, found in long.items()
    }
    return [f"{shortened(text)!r}: {', '.join(said)}" for text, said in counts.items()]


def _few(lines: Sequence[str], most: int = 3) -> list[str]:
    return [*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])]
