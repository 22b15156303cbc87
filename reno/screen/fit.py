"""A prediction of memory, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from reno.letters.console import PatientConsole
from reno.running.fit.cards import (
    CARDS,
    CONTEXT,
    FREE,
    GIB,
    REACHED,
    SHARE,
    largest_batch,
    margin_of,
    needed,
    seconds_on_a_t4,
)
from reno.running.fit.prediction import Prediction, Reading
from reno.spec.job import JobSpec


def show_predictions(job: JobSpec, found: Sequence[Prediction]) -> None:
    """Prints a job's memory at its peak, and which cards have enough. found: one prediction, or two where free memory
    decides about checkpointing: without it and with it."""
    console = PatientConsole()
    batch = job.batch_size or 1  # `auto` depends on the free memory of the machine that runs the job
    height, width = found[0].image_size
    both = "checkpointing as memory allows" if len(found) > 1 else f"{_which(found[0])} checkpointing"
    console.print(
        f"{job.models}, metric {job.metric.name}, method {job.settings.method}, {height} x {width}, {found[0].dtype}, "
        f"{both}, batch {batch}"
    )
    console.print(_answer(found, batch))
    if found[0].reading:
        console.print(_reading(found[0].reading))
    console.print(_peaks(found, batch))
    if found[0].judging:
        console.print(_judges(found[0], batch))
    for name, why in found[0].unknown.items():
        console.print(f"the judge {name} is not in this: its memory cannot be foretold ({why})")
    console.print(_cards(found, batch))
    console.print(
        f"The margin: {CONTEXT / GIB:g} GiB for the device's context and libraries (assumed), and {SHARE:.0%} of the "
        "activations for memory inside one operation and for the allocator's rounding (measured on one GPU)."
    )
    if found[0].reading:
        console.print(
            "Text encoders read each prompt once and are let go before the rest is loaded; a job needs the larger of "
            "the two."
        )
    if found[0].judging:
        console.print(
            "Judges are on a GPU only after the optimisation, one at a time; a job needs the larger of the two. Their "
            f"seconds on a T4 are predicted, at {REACHED:.0%} of its peak, for the two images of a trial and at most; "
            "moving the weights to the GPU and back is not in them. evaluators=[] turns the judges off."
        )


def _answer(found: Sequence[Prediction], batch: int) -> str:
    """Whether the free card has enough memory, and which listed card is the smallest that has, in a sentence."""
    needs = {name: needed(_on(found, memory, batch), batch) for name, memory in CARDS.items()}
    fits = [name for name in CARDS if needs[name] <= CARDS[name]]
    if not fits:
        return f"It fits no card below: it needs {min(needs.values()) / GIB:.1f} GiB, margin included."
    name, start = (FREE, "It fits a") if FREE in fits else (min(fits, key=CARDS.__getitem__), "It needs more than a")
    if name != FREE:
        start += f" {FREE} has; the smallest card below that it fits is the"
    how = f", {_which(_on(found, CARDS[name], batch))} checkpointing" if len(found) > 1 else ""
    return f"{start} {name}: {needs[name] / GIB:.1f} of {CARDS[name] / GIB:g} GiB{how}, margin included."


def _on(found: Sequence[Prediction], memory: float, batch: int) -> Prediction:
    """The first prediction that fits into `memory` bytes, as a job would choose; else the last."""
    return next((one for one in found if largest_batch(one, memory) >= batch), found[-1])


def _which(found: Prediction) -> str:
    return "with" if found.execution.checkpointing else "without"


def _reading(found: Reading) -> Table:
    table = Table("before: prompts are read", "GiB", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    spare = margin_of(found.peak, found.weights)
    rows = {"  weights of text encoders": found.weights, "all tensors": found.peak, "margin": spare}
    for name, size in {**rows, "total": found.peak + spare}.items():
        table.add_row(name, f"{size / GIB:.3f}")
    return table


def _peaks(found: Sequence[Prediction], batch: int) -> Table:
    heads = ["GiB"] if len(found) == 1 else [f"{_which(one)} checkpointing, GiB" for one in found]
    table = Table("while the noise is optimised", *heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"

    def add(name: str, sizes: Sequence[int]) -> None:
        table.add_row(name, *(f"{size / GIB:.3f}" for size in sizes))

    peaks = [one.optimising(batch) for one in found]
    spare = [margin_of(peak, one.weight_bytes) for peak, one in zip(peaks, found, strict=True)]
    for part in found[0].weights:
        add(f"  weights of {part}", [one.weights[part] for one in found])
    table.add_section()
    add("weights", [one.weight_bytes for one in found])
    add(
        "activations, gradients, optimiser, images",
        [peak - one.weight_bytes for peak, one in zip(peaks, found, strict=True)],
    )
    add("all tensors", peaks)
    add("margin", spare)
    table.add_section()
    add("total", [sum(both) for both in zip(peaks, spare, strict=True)])
    return table


def _judges(found: Prediction, batch: int) -> Table:
    table = Table(
        "afterwards", "weights, GB", "all tensors, GiB", "with margin", "s a trial, T4",
        box=box.SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    phases = found.phases(batch)[1 : 1 + len(found.judging)]
    for judge, (peak, weights) in zip(found.judging, phases, strict=True):
        total = peak + margin_of(peak, weights)
        seconds = seconds_on_a_t4(judge.flops, "float32")
        numbers = f"{judge.weights / 1e9:.2f}", f"{peak / GIB:.3f}", f"{total / GIB:.3f}", f"{seconds:.1f}"
        table.add_row(f"  judged by {judge.name}", *numbers)
    return table


def _cards(found: Sequence[Prediction], batch: int) -> Table:
    """What each card runs, and the largest batch on it."""
    chosen = ["checkpointing"] * (len(found) > 1)
    table = Table("card", "GiB", "fits", *chosen, "largest batch", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (table.columns[1], table.columns[-1]):
        column.justify = "right"
    for name, memory in CARDS.items():
        runs = _on(found, memory, batch)
        largest = largest_batch(runs, memory)
        how = ["on" if runs.execution.checkpointing else "off"] * len(chosen)
        table.add_row(name, f"{memory / GIB:g}", "yes" if largest >= batch else "no", *how, str(largest or "-"))
    return table
