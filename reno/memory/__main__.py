"""Will it fit? What a job of reno.run needs at its peak, on which cards it runs, and in what batches.

    python -m reno.memory models=sd_turbo metric=blip_large dtype=float16 batch_size=1

Every knob of reno.run is taken. The job is rehearsed on tensors that hold nothing: no GPU and no weights are needed.
The architectures of the published checkpoints are known; of a folder the configurations are read. `device=auto` asks
for a GPU.
"""

from __future__ import annotations

import sys

from reno.errors import BadInput
from reno.quiet import quieten_libraries


def main(arguments: list[str] | None = None) -> int:
    """Prints the prediction and answers with the exit status: 0, or 2 for what cannot be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        from reno.help import help_text

        print(f"{__doc__}\n{help_text()}")
        return 0
    from reno.compose import composed, explain

    try:
        if {"-m", "--multirun"} & set(arguments):
            raise BadInput("reno.memory looks at one job; leave out -m and give each knob one value")
        job = composed(arguments)
        quieten_libraries()
        _print(job)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    return 0


def _print(job) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from reno.memory.cards import CARDS, CONTEXT, GIB, SHARE, largest_batch, margin
    from reno.memory.prediction import predict

    found = predict(job, "cuda" if job.device == "auto" else job.device.partition(":")[0])
    batch = job.batch_size or 1  # auto takes what is free where it runs
    peak, spare = found.peak(batch), margin(found, batch)
    height, width = found.image_size
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    checkpointing = "with" if found.execution.checkpointing else "without"
    console.print(
        f"{job.models}, metric {job.metric.name}, method {job.settings.method}, {height} x {width}, {found.dtype}, "
        f"{checkpointing} checkpointing, batch {batch}"
    )
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
    console.print(table)
    cards = Table("card", "GiB", "fits", "largest batch", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (1, 3):
        cards.columns[column].justify = "right"
    for name, memory in CARDS.items():
        largest = largest_batch(found, memory)
        cards.add_row(name, f"{memory / GIB:.0f}", "yes" if largest >= batch else "no", str(largest or "-"))
    console.print(cards)
    console.print(
        f"The margin: {CONTEXT / GIB:g} GiB for the device's context and libraries, assumed; {SHARE:.0%} of the "
        "activations for what kernels need inside one operation and for the allocator's rounding, measured on one GPU."
    )


if __name__ == "__main__":
    sys.exit(main())
