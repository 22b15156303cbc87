"""The command that judges stored trials again, without optimising.

    python -m reno.evaluate evaluators=blip_vqa results=DIR
    python -m reno.evaluate evaluators=[blip_vqa,detector] models.checkpoints.blip_vqa.path=FOLDER

Judgements are added to DIR/judgements; the trials do not change. Trials that the judge has judged already, with the
same weights, settings and version, are skipped, so the same command goes on where an interrupted one stopped. Nothing
is sent to Weights & Biases.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Sequence

from reno.config.checks import cpu_threads, device_name, folder, names, whole_number
from reno.config.command import run_command
from reno.config.job import Checkpoints, evaluator
from reno.config.page import Page
from reno.config.sections import Section
from reno.config.words import Words
from reno.letters.output import say
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput

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
    texts=("results",),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges the stored trials. Returns the exit status: 0, 1, 2 or 130."""
    return run_command(PAGE, arguments, _evaluate)


def _evaluate(words: Words) -> int:
    request = request_of(words)
    quieten_libraries()
    from reno.running.judging import judge_all, plan_judgings
    from reno.running.pool import ModelPool
    from reno.screen.judging import JudgingBar, show_judging
    from reno.store.store import Store

    judgings = plan_judgings(request, Store(request.results))
    with JudgingBar() as bar:
        judge_all(request, judgings, ModelPool(), bar.tell)
    for judging in judgings:
        show_judging(judging)
    say(f"judgements     {request.results / 'judgements'}")
    return max(judging.outcome.status for judging in judgings)


def request_of(words: Words):
    """The command's words as a reno.running.judging.Request. Raises BadInput, or an error that `explain` knows."""
    from reno.config.compose import composed
    from reno.running.judging import Request

    values = composed(PAGE, words).values
    chosen = names("evaluators", values["evaluators"])
    if not chosen:
        raise BadInput("evaluators is empty; name a judge, for example evaluators=blip_vqa")
    models = Section(values["models"], "models")
    checkpoints = Checkpoints(models.section("checkpoints", {}), False, words.conf)
    models.end()
    judges = tuple(evaluator(name, checkpoints, words.conf) for name in chosen)
    checkpoints.given.end()  # refuses a checkpoint that no chosen judge loads
    return Request(
        judges,
        folder("results", values["results"]),
        device_name(values["device"]),
        whole_number("batch_size", values["batch_size"], at_least=1),
        cpu_threads(values["threads"]),
    )


if __name__ == "__main__":
    sys.exit(main())
