"""torch.compile and channels-last memory: what each gains or loses, and how long the first iteration waits."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from statistics import median

from benchmarks.apart import Failed, apart
from benchmarks.jobs import loaded
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts, setting_from
from benchmarks.timing import in_turn, peak_bytes, ratio
from reno.running.batch import run_batch
from reno.running.fit.cards import GIB

PLAIN = "plain"
VARIANTS = {
    PLAIN: [],
    "channels_last=true": ["channels_last=true"],
    "compile=true": ["compile=true"],
    "both": ["compile=true", "channels_last=true"],
}


@dataclass(frozen=True)
class KernelsEffort:
    iterations: int
    """The first two are not counted."""
    rounds: int
    variants: tuple[str, ...] = tuple(VARIANTS)


EFFORTS = {
    "quick": KernelsEffort(3, 1, (PLAIN, "channels_last=true")),
    "testbed": KernelsEffort(22, 3),
    "full": KernelsEffort(4, 1),
    "gpu": KernelsEffort(22, 2),
}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in effort.variants}
    broken: dict[str, str] = {}

    with tempfile.TemporaryDirectory(prefix="reno-bench-kernels-") as cache:

        def seconds(name: str) -> float:
            """Seconds of an iteration; NaN once the variant has failed."""
            if name not in broken:
                try:
                    answers[name].append(
                        apart(
                            "benchmarks.parts.kernels:variant",
                            setting=dataclasses.asdict(setting),
                            knobs=VARIANTS[name],
                            iterations=effort.iterations,
                            cache=f"{cache}/{name}",
                        )
                    )
                except Failed as error:
                    if name == PLAIN:
                        raise
                    broken[name] = str(error)
            return float("nan") if name in broken else answers[name][-1]["seconds"]

        in_turn({name: lambda name=name: seconds(name) for name in effort.variants}, effort.rounds)
    rows: list[Row] = []
    for name in effort.variants[1:]:
        if name in broken:
            rows.append(Row(f"an iteration with {name}", None, "s", note=f"it does not run here: {broken[name]}"))
        else:
            rows += _against_plain(name, answers[name], answers[PLAIN])
    return rows


def _against_plain(name: str, answers: list[dict[str, float]], plain: list[dict[str, float]]) -> list[Row]:
    def compared(what: str, key: str, unit: str, size: float, note: str = "") -> Row:
        ours, theirs = ([answer[key] / size for answer in side] for side in (answers, plain))
        return Row(f"{what} with {name}", median(ours), unit, PLAIN, median(theirs), ratio(ours, theirs), note=note)

    waited = f"its first took {answers[0]['first']:.3g} s, plain {plain[0]['first']:.3g} s"
    return [
        compared("an iteration", "seconds", "s", 1, waited),
        compared("peak memory of the process or the GPU's tensors", "peak", "GiB", GIB),
    ]


def variant(setting: dict, knobs: list[str], iterations: int, cache: str) -> dict[str, float]:
    """Seconds of the first iteration and the median of those from the third on, and the peak of memory in bytes.

    cache: where compiled kernels are kept: empty the first time, so that the first iteration makes them.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    asked = setting_from(setting)
    side_by_side = asked.job().batch_size
    job = asked.job(*knobs, prompts(side_by_side), f"iterations={iterations}")
    plan, models, device = loaded(job)
    *_, done = run_batch(plan.trials, job.settings, job.metric.name, models)
    seconds = [row["seconds"] for row in done.trials[0].trace[:iterations]]
    return {"first": seconds[0], "seconds": median(seconds[2:]), "peak": peak_bytes(device)}
