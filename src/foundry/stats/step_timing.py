"""The judge's clock: what timings of two arms, taken in the order A B B A, say about a step of each.

Another load on the machine shows as repeats that disagree; such a measurement is void. A steady drift cancels out of
A B B A, for both arms are timed about the same moment on average. Pure functions. May not: run or time anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ORDER = (0, 1, 1, 0)
"""Which arm each block times: baseline, candidate, candidate, baseline."""
LARGEST_DRIFT = 0.05
"""How far an arm's two blocks may disagree before the measurement is void. Other jobs on two cores moved them by 20 to
88 % (docs/log.md)."""


@dataclass(frozen=True)
class Timing:
    """Seconds a step of baseline and candidate; drift: the larger disagreement of an arm's two blocks, as a share."""

    baseline_step_seconds: float
    candidate_step_seconds: float
    drift: float

    @property
    def steady(self) -> bool:
        return self.drift <= LARGEST_DRIFT

    def steps_for(self, baseline_steps: float) -> float:
        """Steps that the candidate makes in the time of `baseline_steps`."""
        return baseline_steps * self.baseline_step_seconds / self.candidate_step_seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read(step_seconds: Sequence[float]) -> Timing:
    """The timing that four blocks give, in the order of `ORDER`; each the mean seconds of a step in its block."""
    arms = [[seconds for arm, seconds in zip(ORDER, step_seconds, strict=True) if arm == side] for side in (0, 1)]
    drift = max(max(blocks) / min(blocks) - 1.0 for blocks in arms)
    return Timing(sum(arms[0]) / 2, sum(arms[1]) / 2, drift)
