"""A prediction of memory, for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from reno.letters.console import PatientConsole
from reno.running.fit.cards import CARDS, CONTEXT, GIB, SHARE, largest_batch, margin
from reno.running.fit.prediction import Prediction
from reno.spec.job import JobSpec


def show_prediction(job: JobSpec, found: Prediction) -> None:
    """Prints a job's memory at its peak, and which cards have enough."""
    console = PatientConsole()
    batch = job.batch_size or 1  # `auto` depends on the free memory of the machine that runs the job
    height, width = found.image_size
    checkpointing = "with" if found.execution.checkpointing else "without"
    console.print(
        f"{job.models}, metric {job.metric.name}, method {job.settings.method}, {height} x {width}, {found.dtype}, "
        f"{checkpointing} checkpointing, batch {batch}"
    )
    console.print(_peak(found, batch))
    console.print(_cards(found, batch))
    console.print(
        f"The margin: {CONTEXT / GIB:g} GiB for the device's context and libraries (assumed), and {SHARE:.0%} of the "
        "activations for memory inside one operation and for the allocator's rounding (measured on one GPU)."
    )


def _peak(found: Prediction, batch: int) -> Table:
    peak, spare = found.peak(batch), margin(found, batch)
    table = Table("at the peak", "GiB", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for part, size in found.weights.items():
        table.add_row(f"  weights of {part}", f"{size / GIB:.3f}")
    table.add_section()
    table.add_row("weights", f"{found.weight_bytes / GIB:.3f}")
    table.add_row("activations, gradients, optimiser, images", f"{(peak - found.weight_bytes) / GIB:.3f}")
    table.add_row("all tensors", f"{peak / GIB:.3f}")
    table.add_row("margin", f"{spare / GIB:.3f}")
    table.add_section()
    table.add_row("total", f"{(peak + spare) / GIB:.3f}")
    return table


def _cards(found: Prediction, batch: int) -> Table:
    table = Table("card", "GiB", "fits", "largest batch", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (1, 3):
        table.columns[column].justify = "right"
    for name, memory in CARDS.items():
        largest = largest_batch(found, memory)
        table.add_row(name, f"{memory / GIB:g}", "yes" if largest >= batch else "no", str(largest or "-"))
    return table
