"""The claims as a CSV's rows and as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.claims import Claim
from analysis.claims.parts import DecidedPart
from analysis.numbers.effects import Effect
from analysis.text import markdown_text


def claims_frame(found: Sequence[Claim]) -> pd.DataFrame:
    """One row a part, for a CSV."""
    return pd.DataFrame([_row(claim, part) for claim in found for part in (*claim.parts, *claim.beside)])


def _row(claim: Claim, part: DecidedPart) -> dict[str, object]:
    measured, interval = part.measured, part.interval
    compared = isinstance(measured, Effect)
    return {
        "claim": claim.key,
        "statement": claim.statement,
        "models": claim.models,
        "prompt_set": claim.prompt_set,
        "judge": claim.judge,
        "kin": claim.kin,
        "verdict": claim.verdict,
        "why": claim.decided.why,
        "claim_p": claim.p,
        "claim_p_holm": claim.p_holm,
        "part": part.quantity,
        "part_verdict": part.verdict,
        "part_why": part.decided.why,
        "decides": part in claim.parts,
        "value_a": measured.a if compared else measured.value,
        "value_b": measured.b if compared else float("nan"),
        "difference": interval.value if compared else float("nan"),
        "low": interval.low,
        "high": interval.high,
        "interval": interval.kind,
        "over": measured.over,
        "above": part.above,
        "margin": part.margin,
        "p": part.p,
        "detectable": measured.detectable if compared else float("nan"),
        "prompts": measured.prompts,
        "seeds": measured.seeds,
        "pairs": measured.pairs if compared else measured.trials,
    }


def claims_markdown(found: Sequence[Claim]) -> str:
    """All claims as a Markdown page."""
    lines = ["# Claims", ""]
    for claim in found:
        lines += [f"## ({markdown_text(claim.key)}) {markdown_text(claim.statement)}: **{claim.verdict}**", ""]
        lines += [markdown_text(claim.sentence), "", f"Supported if: {markdown_text(claim.definition)}", ""]
        lines += [f"Trials: {markdown_text(claim.basis)}.", ""]
        lines += [f"- {markdown_text(part.sentence)}" for part in (*claim.parts, *claim.beside)]
        lines += [f"- {markdown_text(caution)}" for caution in claim.cautions] + [""]
    return "\n".join(lines)
