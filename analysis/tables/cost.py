"""Table 7: what a trial costs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers.effects import noises
from analysis.numbers.slices import Slice
from analysis.tables.notes import absences, n_note
from analysis.tables.table import Table, table_of
from analysis.text import number


def cost(cell: Sequence[Slice]) -> Table:
    """One row a configuration x device. The trials of a batch share its seconds equally."""
    one = cell[0]
    rows, shown = [], []
    for method, metric, settings, all_trials in one.configurations(one.rows):
        for device, trials in all_trials.groupby("device", dropna=False):
            seconds, started = trials["seconds"], noises(trials)
            row = {
                "method": method,
                "metric": metric,
                "settings": settings,
                "device": device,
                "seconds_median": seconds.median(),
                "seconds_low": seconds.quantile(0.25),
                "seconds_high": seconds.quantile(0.75),
                "images": trials["images"].median(),
                "images_per_second": trials["images"].sum() / seconds.sum() if seconds.sum() > 0 else float("nan"),
                "peak_host_bytes": trials["peak_host_bytes"].astype(float).max(),
                "peak_device_bytes": trials["peak_device_bytes"].astype(float).max(),
                "batch_sizes": ", ".join(str(int(size)) for size in sorted(trials["batch_size"].unique())),
                "prompts": started.prompts,
                "seeds": started.seeds,
                "trials": len(trials),
                **absences(one.absent, method=method, metric=metric, settings=settings),
            }
            rows.append(row)
            shown.append(_shown(row, f"{started.times} ({len(trials)})"))
    notes = (
        "Seconds a trial: of the optimisation, without scoring by other metrics and judging; the median and the "
        "middle half. A trial in a batch counts its share of the batch's seconds; copies that fill a "
        "short batch up count for its trials. Host memory: the peak of the whole "
        f"process until then. {n_note(cell, 'trials')}",
    )
    return table_of(cell, 7, "cost", "What a trial costs", pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _shown(row: dict, counts: str) -> dict[str, str]:
    return {
        "method": row["method"],
        "metric": row["metric"],
        "settings": row["settings"],
        "device": str(row["device"]),
        "seconds": f"{number(row['seconds_median'])} [{number(row['seconds_low'])}, {number(row['seconds_high'])}]",
        "images / s": number(row["images_per_second"], 1),
        "host GB": number(row["peak_host_bytes"] / 1e9),
        "device GB": number(row["peak_device_bytes"] / 1e9),
        "batch": row["batch_sizes"],
        "n": counts,
    }
