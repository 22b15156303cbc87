"""The command: `make bench` and `make bench-gpu`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

from benchmarks import __doc__ as what_it_is
from benchmarks.apart import Failed, apart
from benchmarks.page import write_page
from benchmarks.parts import PARTS, measures
from benchmarks.readme import check_readme, write_readme
from benchmarks.rows import Found, markdown, row_from
from benchmarks.setting import Setting, full_size, testbed, threads_knob
from benchmarks.timing import say
from reno.config.script import Options, a_path, run_script, threads
from reno.letters.output import say_page, warn
from reno.spec.errors import BadInput, did_you_mean

VERSION = 2
"""Of what the parts measure: a kept part of another version is measured anew."""
EFFORTS = {False: ("testbed", "full", "gpu"), True: ("quick",)}
"""The settings that meet in one table: a quick look is no part of it."""


def main(arguments: list[str] | None = None) -> int:
    """Measures, and answers with the exit status: 0, 1 if a part failed, 2 for what cannot be used, 130 interrupted."""
    return run_script(lambda: _bench(_arguments(arguments)))


def _bench(asked: argparse.Namespace) -> int:
    if asked.gpu:
        _need_a_gpu()
    parts = _parts(asked.only or ("speed" if asked.gpu else None))
    if asked.readme:
        check_readme(asked.readme, asked.gpu)
    work = [(part, setting) for setting in _settings(asked) for part in parts if measures(part, setting.effort)]
    _prepare(asked.out)
    return _measure(work, asked)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    explained = "\n".join(f"  {name:<9} {text}" for name, text in PARTS.items())
    parser = Options(
        prog="python -m benchmarks",
        description=what_it_is,
        epilog=f"parts:\n{explained}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", metavar="PART,PART", help="these parts (default: all; on a GPU: speed, which ends within 8 minutes)"
    )
    parser.add_argument("--full-size", type=a_path, metavar="FOLDER", help="SD-Turbo's size too; made there if missing")
    parser.add_argument("--gpu", action="store_true", help="on a CUDA GPU, at full size")
    parser.add_argument("--out", type=a_path, metavar="FOLDER", help="default: bench, on a GPU bench-gpu")
    parser.add_argument("--threads", type=threads, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--readme",
        type=a_path,
        metavar="FILE",
        help="also write the table between the marks of a page: docs/cost.md",
    )
    parser.add_argument("--again", action="store_true", help="measure anew what is there already")
    parser.add_argument("--quick", action="store_true", help="one round of the least: to see that it runs")
    asked = parser.parse_args(arguments)
    if asked.quick and (asked.gpu or asked.full_size):
        parser.error("--quick is for the embedded models on the CPU")
    asked.out = asked.out or Path("bench-gpu" if asked.gpu else "bench")
    return asked


def _need_a_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise BadInput("there is no CUDA GPU here that torch can use; run `make bench-gpu` where there is one")


def _parts(only: str | None) -> list[str]:
    wanted = list(PARTS) if only is None else only.split(",")
    for name in wanted:
        if name not in PARTS:
            raise BadInput(f"--only {name}: the parts are {', '.join(PARTS)}{did_you_mean(name, list(PARTS))}")
    return [name for name in PARTS if name in wanted]


def _prepare(out: Path) -> None:
    try:
        (out / "parts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be written ({error.strerror}); give another folder: --out FOLDER") from None


def _settings(asked: argparse.Namespace) -> list[Setting]:
    if asked.gpu:
        others = asked.only not in (None, "speed")
        return [full_size(asked.full_size or asked.out / "checkpoints", "cuda", asked.threads, others)]
    found = [testbed(asked.threads, asked.quick)]
    return found + ([full_size(asked.full_size, "cpu", asked.threads)] if asked.full_size else [])


def _measure(work: list[tuple[str, Setting]], asked: argparse.Namespace) -> int:
    """Part by part; the table is written anew after each, so that one that is stopped leaves what it has."""
    failed = False
    for number, (part, setting) in enumerate(work, 1):
        title = f"[{number} of {len(work)}] {part}, {setting.name}: {PARTS[part]}"
        kept = asked.out / "parts" / f"{setting.effort}-{part}.json"
        question = {"version": VERSION, "part": part, "setting": json.loads(json.dumps(dataclasses.asdict(setting)))}
        if not asked.again and (_read(kept) or {}).get("question") == question:
            warn(f"{title}: kept")
            continue
        warn(title)
        started = time.perf_counter()
        try:
            answer = apart("benchmarks.parts:measured", part=part, setting=question["setting"])
        except (Failed, BadInput) as error:
            warn(f"failed: {part}, {setting.name}: {error}")
            failed = True
            continue
        seconds = round(time.perf_counter() - started, 1)
        say(f"took {seconds:.0f} s")
        answer |= {
            "question": question,
            "seconds": seconds,
            "taken": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        }
        _write(kept, json.dumps(answer, indent=1))
        _write_tables(asked)
    say_page(_write_tables(asked).rstrip())
    return int(failed)


def _read(kept: Path) -> dict | None:
    """A part's file; None if there is none of this version, or a damaged one."""
    try:
        answer = json.loads(kept.read_text(encoding="utf-8"))
        return answer if answer["question"]["version"] == VERSION else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_tables(asked: argparse.Namespace) -> str:
    """Page, CSV and JSON of every part that was measured in this folder with as many threads, by this command or by one
    before; answers with the table."""
    paths = [asked.out / "parts" / f"{effort}-{part}.json" for part in PARTS for effort in EFFORTS[asked.quick]]
    knob = threads_knob(asked.threads)
    answers = [a for a in map(_read, paths) if a and knob in a["question"]["setting"]["words"]]
    if not answers:
        return "nothing was measured"
    found = [
        Found(a["question"]["part"], a["question"]["setting"]["name"], tuple(map(row_from, a["rows"]))) for a in answers
    ]
    write_page(asked.out, answers, found)
    if asked.readme:
        write_readme(asked.readme, asked.gpu, answers, found)
    return markdown(found)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
