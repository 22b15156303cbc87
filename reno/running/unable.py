"""Prompts that a judge cannot judge, where the models came with the judge and nobody asked for it.

`detector_open` judges colours, so it cannot say whether a bench is wooden. A judge that was asked for refuses such a
prompt before the job begins. One that the models bring by default leaves it out, and a note says so.
"""

from __future__ import annotations

import dataclasses

from reno.running.located import LocatedEvaluator
from reno.running.plan import Plan
from reno.running.unloaded import Unloaded
from reno.spec.errors import BadInput


def spare_judges(plan: Plan, unloaded: Unloaded) -> Plan:
    """The plan whose judges leave out what they cannot judge. A judge that is left with nothing is not loaded."""
    if not plan.job.usual_judges:
        return plan
    judges, notes = [], []
    for located in plan.evaluators:
        refused = _refused(located, plan, unloaded)
        if refused:
            (first, why), *_ = refused.items()
            some = f"{len(refused)} of {len(plan.job.prompts)} prompts"
            notes.append(f"{located.spec.name} leaves out {some}, such as {first[:60]!r}: {why}")
        located = dataclasses.replace(located, unable=frozenset(refused))
        if any(located.asks(prompt) for prompt in plan.job.prompts):
            judges.append(located)
    job = dataclasses.replace(plan.job, prompt_notes=(*plan.job.prompt_notes, *notes))
    return dataclasses.replace(plan, job=job, evaluators=tuple(judges))


def _refused(located: LocatedEvaluator, plan: Plan, unloaded: Unloaded) -> dict[str, str]:
    """The prompts that the judge looks at and cannot judge, each with the reason."""
    judge = unloaded.judge(located)
    refused = {}
    for prompt in plan.job.prompts if judge else ():
        if located.asks(prompt):
            try:
                judge.check_prompt(prompt)
            except BadInput as error:
                refused[prompt.text] = str(error)
    return refused
