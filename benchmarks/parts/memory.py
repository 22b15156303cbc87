"""The peak that `python -m reno.memory` predicts against the measured peak of torch's allocator."""

from __future__ import annotations

from benchmarks.allocator import measured_peak
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts
from benchmarks.timing import say
from reno.running.fit.cards import GIB
from reno.running.fit.prediction import predict

CLIP, BLIP = ["metric=clip"], ["metric=blip"]
EFFORTS = {
    "quick": {"CLIP, batch 1": (1, CLIP)},
    "testbed": {
        "CLIP, batch 4": (4, CLIP),
        "CLIP, batch 4, checkpointing": (4, [*CLIP, "checkpointing=true"]),
        "BLIP, batch 4": (4, BLIP),
        "CLIP and BLIP, batch 2": (2, ["metric=clip+blip"]),
    },
    "full": {"CLIP, batch 1": (1, CLIP)},
    "gpu": {"CLIP, batch 1": (1, CLIP), "CLIP, batch 2": (2, CLIP), "BLIP, batch 1": (1, BLIP)},
}
"""By effort, then by the row's name: trials side by side, and knobs."""


def measure(setting: Setting) -> list[Row]:
    rows = []
    for name, (batch, words) in EFFORTS[setting.effort].items():
        job = setting.job(*words, prompts(batch), f"batch_size={batch}", "iterations=2")
        predicted = predict(job, job.device.partition(":")[0]).peak(batch) / GIB
        measured = measured_peak(job) / GIB
        say(f"{name}: predicted {predicted:.3f} GiB, measured {measured:.3f} GiB")
        rows.append(
            Row(
                f"peak predicted: {name}", predicted, "GiB",
                "measured", measured, predicted / measured, at_least=0.9, at_most=1.1,
            )
        )  # fmt: skip
    return rows
