"""The command that judges stored trials again, without optimising.

    python -m reno.evaluate evaluators=blip_vqa results=DIR
    python -m reno.evaluate evaluators=[blip_vqa,detector] models.checkpoints.blip_vqa.path=FOLDER

    python -m reno.evaluate evaluators=detector images=FOLDER results=DIR name=sd_turbo    # pictures made elsewhere

Judgements are added to DIR/judgements; the trials do not change. Trials that the judge has judged already, with the
same weights, settings and version, are skipped, so the same command goes on where an interrupted one stopped. Trials
that have a run in Weights & Biases get the judgements there too.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reno.config.checks import cpu_threads, device_name, folder, names, store_folder, text, whole_number
from reno.config.command import run_command
from reno.config.conf import Conf
from reno.config.models import Checkpoints, evaluator
from reno.config.page import Page
from reno.config.programs import as_called
from reno.config.sections import Section
from reno.config.suites import asked_suite
from reno.config.words import Words
from reno.letters.output import say, warn
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput
from reno.spec.prompts import Prompt

PAGE = Page(
    name="evaluate",
    usage="python -m reno.evaluate evaluators=JUDGE [results=DIR] [-cd FOLDER] [knob=value ...]",
    purpose=(
        "Judges the images of stored trials, without optimising. The judgements are added to the store; the trials do "
        "not change."
    ),
    examples="exit status  0 all trials are judged, 1 some failed, 2 the input cannot be used, 130 interrupted\n",
    resumes=True,
    lists=("evaluators",),
    detailed=("tracking",),
    texts=("results", "images", "name", "suites"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges the stored trials. Returns the exit status: 0, 1, 2 or 130."""
    return run_command(PAGE, arguments, _evaluate)


def _evaluate(words: Words) -> int:
    from reno.config.compose import composed

    values = composed(PAGE, words).values
    request, tracking = request_of(values, words.conf), tracking_of(values)
    quieten_libraries()
    from reno.running.judging import judge_all, plan_judgings
    from reno.running.pool import ModelPool
    from reno.screen.judging import JudgingBar, show_judging
    from reno.store.store import Store
    from reno.tracking.judgements import show_judgements

    store = Store(request.results)
    store.catch_up(jobs=False)
    if request.images is not None:
        from reno.running.given import find_pictures, store_pictures

        stored, before = store_pictures(find_pictures(request.images, request.prompts), store,
                                        request.name, request.prompt_set)  # fmt: skip
        say(f"{stored} pictures of {request.images} stored in {store.name}, {before} stored before")
    judgings = plan_judgings(request, store)
    with JudgingBar() as bar:
        judge_all(request, judgings, ModelPool(), bar.tell)
    for judging in judgings:
        show_judging(judging)
    for sentence in store.send():
        warn(f"warning: {sentence}")
    say(f"judgements     {store.name}/judgements")
    for line in show_judgements(newly_judged(judgings), tracking, request.results, warn):
        say(line)
    report = shlex.join(["python", "-m", "analysis", f"results={store.name}"])
    say(f"report         {as_called(report)}")
    return max(judging.outcome.status for judging in judgings)


def tracking_of(values: dict[str, Any]):
    """The command's values as a reno.tracking.TrackingSpec. Raises BadInput."""
    from reno.tracking import TrackingSpec

    return TrackingSpec.from_knobs(Section(values["tracking"], "tracking").values)


def newly_judged(judgings) -> list:
    """The stored trials that one of the judges has judged now, each once."""
    judged = {trial_id for judging in judgings for trial_id in judging.outcome.done}
    waiting = {trial.id: trial for judging in judgings for trial in judging.waiting}
    return [trial for trial_id, trial in waiting.items() if trial_id in judged]


def request_of(values: dict[str, Any], conf: Conf):
    """The command's values as a reno.running.judging.Request. Raises BadInput."""
    from reno.running.judging import Request

    chosen = names("evaluators", values["evaluators"])
    if not chosen:
        raise BadInput("evaluators is empty; name a judge, for example evaluators=blip_vqa")
    models = Section(values["models"], "models")
    checkpoints = Checkpoints(models.section("checkpoints", {}), False, conf)
    models.end()
    judges = tuple(evaluator(name, checkpoints, conf) for name in chosen)
    checkpoints.given.end()  # refuses a checkpoint that no chosen judge loads
    images = None if values["images"] is None else folder("images", values["images"])
    prompts, prompt_set = _prompts(values, images, conf)
    return Request(
        judges,
        store_folder("results", values["results"]),
        device_name(values["device"]),
        whole_number("batch_size", values["batch_size"], at_least=1),
        cpu_threads(values["threads"]),
        images=images,
        name=text("name", values["name"]),
        prompts=prompts,
        prompt_set=prompt_set,
    )


def _prompts(values: dict[str, Any], images: Path | None, conf: Conf) -> tuple[tuple[Prompt, ...], str | None]:
    """The prompts that the pictures may show, and the name of their set. Raises BadInput."""
    if images is None:
        given = {"name": "given", "suite": None, "suites": None}
        if typed := [knob for knob, default in given.items() if values[knob] != default]:
            raise BadInput(f"{typed[0]}={values[typed[0]]} is about pictures made elsewhere; add images=FOLDER")
        return (), None
    asked = asked_suite(values, conf)
    return (asked[0].prompts, asked[1].name) if asked else ((), images.name)


if __name__ == "__main__":
    sys.exit(main())
