"""A prediction of memory, for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from reno.letters.console import PatientConsole
from reno.running.fit.cards import CARDS, CONTEXT, GIB, REACHED, SHARE, largest_batch, margin_of, seconds_on_a_t4
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
    if found.judging:
        console.print(_judges(found, batch))
    for name, why in found.unknown.items():
        console.print(f"the judge {name} is not in this: its memory cannot be foretold ({why})")
    console.print(_cards(found, batch))
    console.print(
        f"The margin: {CONTEXT / GIB:g} GiB for the device's context and libraries (assumed), and {SHARE:.0%} of the "
        "activations for memory inside one operation and for the allocator's rounding (measured on one GPU)."
    )
    if found.judging:
        console.print(
            "Judges are on a GPU only after the optimisation, one at a time; a job needs the larger of the two. Their "
            f"seconds on a T4 are predicted, at {REACHED:.0%} of its peak, for the two images of a trial and at most; "
            "moving the weights to the GPU and back is not in them. evaluators=[] turns the judges off."
        )


def _peak(found: Prediction, batch: int) -> Table:
    peak = found.optimising(batch)
    spare = margin_of(peak, found.weight_bytes)
    table = Table("while the noise is optimised", "GiB", box=box.SIMPLE_HEAD, pad_edge=False)
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


def _judges(found: Prediction, batch: int) -> Table:
    table = Table(
        "afterwards", "weights, GB", "all tensors, GiB", "with margin", "s a trial, T4",
        box=box.SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    _, *phases = found.phases(batch)
    for judge, (peak, weights) in zip(found.judging, phases, strict=True):
        total = peak + margin_of(peak, weights)
        seconds = seconds_on_a_t4(judge.flops, "float32")
        numbers = f"{judge.weights / 1e9:.2f}", f"{peak / GIB:.3f}", f"{total / GIB:.3f}", f"{seconds:.1f}"
        table.add_row(f"  judged by {judge.name}", *numbers)
    return table


def _cards(found: Prediction, batch: int) -> Table:
    table = Table("card", "GiB", "fits", "largest batch", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (1, 3):
        table.columns[column].justify = "right"
    for name, memory in CARDS.items():
        largest = largest_batch(found, memory)
        table.add_row(name, f"{memory / GIB:g}", "yes" if largest >= batch else "no", str(largest or "-"))
    return table
