"""The command that runs a stored trial again from its record and compares the two results.

    python -m reno.reproduce TRIAL [results=DIR] [device=DEVICE]

TRIAL is an id, the start of one, or the trial's folder. Nothing is written.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reno.config.checks import device_name, store_folder
from reno.config.command import run_command
from reno.config.page import Page
from reno.config.words import Words
from reno.letters.output import say
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput
from reno.spec.trial import noise_name
from reno.store.store import Store
from reno.store.stored import Stored, read_trial, whole

PAGE = Page(
    name="reproduce",
    usage="python -m reno.reproduce TRIAL [results=DIR] [device=DEVICE]",
    purpose=(
        "Runs a stored trial again, in the same batch of trials and with the same number of threads. On the same "
        "machine and versions the result is identical to the last bit. Otherwise the largest differences are printed, "
        "with the versions that differ. Nothing is written."
    ),
    examples="exit status  0 identical, 1 not identical, 2 the input cannot be used, 130 interrupted\n",
    positional=("trial",),
    texts=("trial", "results"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the trial again and prints the comparison. Returns the exit status: 0, 1, 2 or 130."""
    return run_command(PAGE, arguments, _reproduce)


def _reproduce(words: Words) -> int:
    from reno.config.compose import composed

    values = composed(PAGE, words).values
    if values["trial"] is None:
        raise BadInput(
            "trial is empty; give a trial's id, the start of its id, or its folder: python -m reno.reproduce TRIAL"
        )
    stored = _stored(str(values["trial"]), store_folder("results", values["results"]))
    device = None if values["device"] is None else device_name(values["device"])
    quieten_libraries()
    from reno.running.pool import ModelPool
    from reno.running.reproducing import reproduce

    spec = stored.record.spec
    say(f"running {stored.id[:12]} again: {spec.prompt!r}, {noise_name(spec.prompt, spec.seed)}")
    comparison = reproduce(stored, ModelPool(), device)
    if comparison.identical:
        say(f"identical: {len(stored.trace())} iterations, both images and both noises agree to the last bit")
    else:
        say("not identical; largest absolute differences:")
        for name, value in comparison.columns.items():
            say(f"  {name:<12} {value:.3g}")
        say(f"  {'pixels':<12} {comparison.levels} of 255 levels")
        say(f"  {'noise':<12} {comparison.noise:.3g}")
    for line in comparison.surroundings:
        say(f"differs: {line}")
    return 0 if comparison.identical else 1


def _stored(trial: str, results: Path) -> Stored:
    """The trial in the folder `trial` if there is one, else the stored trial whose id starts so. Raises BadInput."""
    place = Path(trial).absolute()
    is_trial = os.path.lexists(place / "trial.json") or (place.parent.name == "trials" and os.path.lexists(place))
    if is_trial:
        return whole(read_trial(place.resolve()))
    store = Store(results)
    store.catch_up(jobs=False)
    return store.match(trial)


if __name__ == "__main__":
    sys.exit(main())
