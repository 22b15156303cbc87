"""The command that checks that models are read right, on a machine that has their weights.

    python -m reno.check models=sd_turbo images=FOLDER
    python -m reno.check models=testbed metrics=[clip,blip] evaluators=[]

It compares with values that others published for the same checkpoints, and with the libraries' own code on the same
weights: the image of diffusers' pipeline, and the pixel values of transformers' image processors. Nothing is stored.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Sequence

from reno.config.checks import device_name, flag, folder, names, one_of
from reno.config.command import run_command
from reno.config.conf import Chosen, Conf
from reno.config.models import Checkpoints, NoCheckpoint, chosen_generator, evaluator, is_sum, named_metric
from reno.config.page import Page
from reno.config.sections import Section
from reno.config.words import Words
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput
from reno.spec.job import MetricSpec

NOTHING, PICTURES, ALL = "nothing", "pictures", "all"

PAGE = Page(
    name="check",
    usage="python -m reno.check [models=NAME] [-cd FOLDER] [knob=value ...]",
    purpose=(
        "Checks that models are read right: the metrics and judges against values that others published for the same "
        "checkpoints, the generator against diffusers' own pipeline, the image processing against transformers' own. "
        "What is not on this disk is skipped. models.checkpoints.NAME.path=FOLDER gives a checkpoint in a folder."
    ),
    examples="""\
examples
  python -m reno.check                                         SD-Turbo, and every metric and judge that is on this disk
  python -m reno.check metrics=blip evaluators=[] images=FOLDER
  python -m reno.check models=testbed

exit status  0 all that ran agree, 1 something differs or nothing was checked, 2 the input cannot be used,
             130 interrupted
""",
    lists=("metrics", "evaluators"),
    texts=("images",),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table of the checks. Returns the exit status: 0, 1, 2 or 130."""
    return run_command(PAGE, arguments, _check)


def _check(words: Words) -> int:
    from reno.config.compose import composed

    chosen = composed(PAGE, words)
    values = chosen.values
    download = one_of("download", values["download"], (NOTHING, PICTURES, ALL))
    images = None if values["images"] is None else folder("images", values["images"])
    if images is not None and not images.is_dir():
        raise BadInput(f"images={images} is not a folder; give one that holds the pictures of the published values")
    device = device_name(values["device"])
    quieten_libraries()
    generator, metrics, judges = _chosen_models(chosen, words.conf, every=download != ALL)
    from reno.device.choice import choose_device
    from reno.letters.output import say
    from reno.running.checking.checking import DIFFERS, OK, CheckRequest, check_all
    from reno.running.checking.pictures import PictureSource
    from reno.running.checking.published import published_values
    from reno.screen.checking import show_checks
    from reno.weights.checkpoints import CheckpointFinder

    pictures = PictureSource(images, download != NOTHING, say)
    request = CheckRequest(
        generator,
        metrics,
        judges,
        pictures,
        choose_device(device),
        published_values(),
        CheckpointFinder() if download == ALL else CheckpointFinder(fetching=False, tell=lambda line: None),
        named=values["metrics"] is not None or values["evaluators"] is not None,
    )
    verdicts = {result.verdict for result in show_checks(check_all(request))}
    return int(OK not in verdicts or DIFFERS in verdicts)


def _chosen_models(chosen: Chosen, conf: Conf, every: bool):
    """The generator, the metrics by name and the judges that are checked. every: whether all there are are meant where
    none is named, and not those of the models' record alone."""
    values = chosen.values
    models = Section(values["models"], "models", chosen.references)
    closed = flag("models.closed", models.take("closed", False))
    checkpoints = Checkpoints(models.section("checkpoints", {}), closed, conf, chosen.typed)
    generator = chosen_generator(models, chosen, conf, checkpoints)
    usual = {knob: names(f"models.{knob}", models.take(knob, None)) for knob in ("record", "evaluators")}
    for knob in ("name", "batch_size", "own_noise", "seed", "reference_seconds", "reference_bytes"):
        models.take(knob, None)
    models.end()
    given = values["metrics"]
    if given is None:
        known = [one for one in conf.options("metric") if not is_sum(one, conf)] if every else usual["record"]
        metrics = {name: _metric_or_reason(name, checkpoints, conf) for name in known}
    else:
        metrics = {name: named_metric(name, checkpoints, conf, "metrics") for name in names("metrics", given)}
    given = values["evaluators"]
    if given is None:
        given = conf.options("evaluator") if every else usual["evaluators"]
    judges = tuple(evaluator(name, checkpoints, conf) for name in names("evaluators", given))
    checkpoints.end()
    return generator, metrics, judges


def _metric_or_reason(name: str, checkpoints: Checkpoints, conf: Conf) -> MetricSpec | str:
    """A metric, or why these models cannot have it. Raises BadInput."""
    try:
        return named_metric(name, checkpoints, conf)
    except NoCheckpoint as error:
        return str(error).partition(";")[0]


if __name__ == "__main__":
    sys.exit(main())
