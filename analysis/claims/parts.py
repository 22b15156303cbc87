"""One part of a claim: a comparison or a level, what it has to be above, and what the data say."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.numbers.effects import Effect, Level
from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL, Interval
from analysis.numbers.verdicts import BETTER, EQUIVALENT, POWER, TOST_LEVEL, UNDECIDED, WORSE, Verdict
from analysis.tables.columns import bracketed, p_text
from analysis.text import number

SUPPORTED, CONTRADICTED = "supported", "contradicted"


@dataclass(frozen=True)
class DecidedPart:
    """One quantity, the threshold it has to be above, and what the data say."""

    quantity: str
    measured: Effect | Level
    sides: tuple[str, ...]
    """What is compared with what, `with clip` and `with blip`; of a level one side."""
    margin: float
    """A difference of shares up to this counts as none."""
    above: float = 0.0
    metric: str | None = None
    """The one metric it is about; None where it compares two."""

    @property
    def compares(self) -> bool:
        return isinstance(self.measured, Effect)

    @property
    def effect(self) -> Effect:
        """Of a part that compares."""
        assert isinstance(self.measured, Effect)
        return self.measured

    @property
    def interval(self) -> Interval:
        return self.measured.difference if isinstance(self.measured, Effect) else self.measured.interval

    @property
    def prompts(self) -> int:
        return self.measured.prompts

    @property
    def p(self) -> float:
        """Two-sided, of "it is at the threshold", not adjusted."""
        if self.prompts < FEWEST_PROMPTS or self.measured.estimate is None:
            return float("nan")
        return self.measured.estimate.p(self.above)

    @property
    def holds(self) -> bool:
        """Whether the measured value is above the threshold, whatever the interval says."""
        return self.interval.value > self.above

    @property
    def verdict(self) -> str:
        return self.decided.word

    @property
    def decided(self) -> Verdict:
        """SUPPORTED, CONTRADICTED, EQUIVALENT or UNDECIDED with the reason."""
        if isinstance(self.measured, Effect):
            found = self.measured.verdict(self.margin)
            if self.above == 0 or not self._can_be_decided:
                words = {BETTER, WORSE}
                return Verdict(SUPPORTED if self.holds else CONTRADICTED) if found.word in words else found
        elif not self._can_be_decided:
            return Verdict(UNDECIDED, self._too_few)
        if self.interval.low > self.above:
            return Verdict(SUPPORTED)
        if self.interval.high < self.above:
            return Verdict(CONTRADICTED)
        return Verdict(UNDECIDED, f"{number(self.above)} lies inside the interval")

    @property
    def _can_be_decided(self) -> bool:
        return self.prompts >= FEWEST_PROMPTS and not self.measured.few_noises

    @property
    def _too_few(self) -> str:
        if self.prompts < FEWEST_PROMPTS:
            return f"{self.prompts} prompt{'s' * (self.prompts != 1)}; at least {FEWEST_PROMPTS} are needed"
        return "the noises that all prompts share are too few to say anything of others"

    @property
    def sentence(self) -> str:
        over = f" ({LEVEL:.0%}, over {self.measured.over})" if self.interval.kind not in ("none", "equal") else ""
        test = f", p {p_text(self.p)}" if self.p == self.p else ""
        if not isinstance(self.measured, Effect):
            value = bracketed(self.interval, signed=False)
            text = f"{self.quantity}: {value}{over}, has to be at least {number(self.above)}{test}: {self.decided.text}"
            return f"{text}; {self.measured.noises.in_words}, {_some(self.measured.trials, 'trial')}"
        effect, (a, b) = self.measured, self.sides
        return (
            f"{self.quantity}: {number(effect.a)} {a} against {number(effect.b)} {b}, difference "
            f"{bracketed(effect.difference)}{over}, has to be above {number(self.above)}{test}: {self.decided.text}"
            f"{self._beside}; {effect.noises.in_words}, {_some(effect.pairs, 'pair')}, "
            f"win / tie / loss {effect.win} / {effect.tie} / {effect.loss}"
        )

    @property
    def _beside(self) -> str:
        """The interval that decides equivalence, and what the design can find."""
        effect = self.effect
        if effect.prompts < FEWEST_PROMPTS or self.above or self.verdict not in (EQUIVALENT, UNDECIDED):
            return ""
        narrow = ""
        if self.verdict == EQUIVALENT:
            ends = f"[{number(effect.narrow.low)}, {number(effect.narrow.high)}]"
            narrow = f" ({TOST_LEVEL:.0%} interval {ends} within ±{number(self.margin)})"
        return f"{narrow}; this design finds a difference of {number(effect.detectable)} with {POWER:.0%} power"


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
