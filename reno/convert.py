"""The command that makes a folder in the libraries' format from weights that are published as a pickle.

python -m reno.convert hpsv2                             # of a port that others published as safetensors
python -m reno.convert hpsv2 HPS_v2.1_compressed.pt
python -m reno.convert imagereward ImageReward.pt
python -m reno.convert aesthetic sac+logos+ava1-l14-linearMSE.pth
python -m reno.convert dmd2_sdxl dmd2_sdxl_1step_unet_fp16.bin
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Sequence
from pathlib import Path

from reno.config.checks import at_home, folder, one_of, text
from reno.config.command import run_command
from reno.config.page import Page
from reno.config.words import Words
from reno.letters.output import say
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput

PAGE = Page(
    name="convert",
    usage="python -m reno.convert CHECKPOINT [FILE] [out=FOLDER] [base=FOLDER]",
    purpose=(
        "Makes a folder in transformers' or diffusers' format from weights that are published as a pickle. Without "
        "FILE a reward's port to safetensors is fetched from the hub and read instead. No code of a file is run; every "
        "weight is checked by name and shape. The folder notes the SHA-256 of the file. The last line says with which "
        "words of reno.run it is used."
    ),
    examples="""\
examples
  python -m reno.convert hpsv2                                            of a port, fetched from the hub
  python -m reno.convert hpsv2 HPS_v2.1_compressed.pt                     from xswu/HPSv2 on the hub
  python -m reno.convert imagereward ImageReward.pt                       from zai-org/ImageReward on the hub
  python -m reno.convert aesthetic sac+logos+ava1-l14-linearMSE.pth       from its authors' repository on GitHub
  python -m reno.convert dmd2_sdxl dmd2_sdxl_1step_unet_fp16.bin          from tianweiy/DMD2 on the hub

exit status  0 the folder is made, 2 the input cannot be used, 130 interrupted
""",
    positional=("checkpoint", "file"),
    texts=("file", "out", "base"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the folder and says how a metric takes it. Returns the exit status: 0, 2 or 130."""
    return run_command(PAGE, arguments, _convert)


def _convert(words: Words) -> int:
    from reno.config.compose import composed

    values = composed(PAGE, words).values
    if values["checkpoint"] is None:
        raise BadInput(f"checkpoint is empty; give it: {PAGE.usage.partition(' [out')[0]}")
    quieten_libraries()
    from reno.weights.conversion import CONVERSIONS, convert
    from reno.weights.pickled import PICKLED

    name = one_of("checkpoint", values["checkpoint"], CONVERSIONS)
    file = None if values["file"] is None else at_home("file", text("file", values["file"]))
    out = Path("checkpoints", name) if values["out"] is None else folder("out", values["out"])
    base = None if values["base"] is None else text("base", values["base"])
    made = convert(name, file, base, out)
    say(f"{made.folder}: {made.parameters:,} parameters, from {made.source}, SHA-256 {made.sha256}")
    say(f"use it with {PICKLED[name].words}{made.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
