"""Predicts the memory of each generator with each metric, one trial at a time; prints the table of docs/memory.md.

    python scripts/memory_table.py                                  # half an hour; goes on where it stopped
    python scripts/memory_table.py --models sd_turbo --metrics clip,reno

Nothing is downloaded and no GPU is needed: `reno.memory` says more of a single pair.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.marks import markdown_rows
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.script import Options, a_path, run_script
from reno.config.words import parse
from reno.letters.output import say, warn
from reno.running.fit.cards import CARDS, GIB, margin_of
from reno.running.fit.prediction import predict_alone

MODELS = ("sd_turbo", "sdxl_turbo", "hyper_sdxl", "pixart_dmd", "sana_sprint", "sana_sprint_1600m", "flux_schnell")
METRICS = ("clip", "clip_vit_l", "clip_vit_h", "siglip2", "blip", "imagereward", "blip2_itm", "reno")
PROMPT = "a gold bench and a green clock"

Phases = list[tuple[int, int]]
"""Peak bytes of each phase, and how many of them are weights."""


def phases(models: str, metric: str) -> Phases:
    """Of one trial in the device's usual number format, with checkpointing; without judges and recorded metrics."""
    knobs = [f"models={models}", f"metric={metric}", f"prompt={PROMPT}", "record=[]", "evaluators=[]"]
    words = parse(RUN, [*knobs, "checkpointing=true", "batch_size=1"])
    return predict_alone(job_from_config(composed(RUN, words), words.conf), "cuda")


def needed(found: Phases) -> int:
    """Bytes with the margin, in the phase that needs most."""
    return max(peak + margin_of(peak, weights) for peak, weights in found)


def smallest_card(most: int) -> str:
    """The smallest listed card that has so many bytes."""
    return next((name for name in sorted(CARDS, key=CARDS.__getitem__) if CARDS[name] >= most), "none of those listed")


def table(found: Mapping[str, Phases], models: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """A row a generator: GiB with each metric, and the smallest cards for the least and the most of them."""
    rows = []
    for name in models:
        sizes = [needed(found[f"{name} {metric}"]) for metric in metrics]
        cards = dict.fromkeys(map(smallest_card, (min(sizes), max(sizes))))
        rows.append([f"`{name}`", *(f"{size / GIB:.1f}" for size in sizes), " to ".join(cards)])
    heads = ["`models`", *(f"`{metric}`" for metric in metrics), "smallest card"]
    return markdown_rows(heads, [False, *(True for _ in metrics), False], rows)


def main() -> int:
    options = Options(description=__doc__.partition("\n")[0])
    options.add_argument("--models", type=lambda text: text.split(","), default=MODELS)
    options.add_argument("--metrics", type=lambda text: text.split(","), default=METRICS)
    options.add_argument(
        "--kept", type=a_path, default=Path("build/memory_table.json"), help="what is predicted so far"
    )
    asked = options.parse_args()
    found = json.loads(asked.kept.read_text()) if asked.kept.exists() else {}
    asked.kept.parent.mkdir(parents=True, exist_ok=True)
    for pair in [f"{models} {metric}" for models in asked.models for metric in asked.metrics]:
        if pair not in found:
            found[pair] = phases(*pair.split())
            asked.kept.write_text(json.dumps(found, indent=1))
            warn(f"{pair}: {needed(found[pair]) / GIB:.2f} GiB")
    for line in table(found, asked.models, asked.metrics):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
