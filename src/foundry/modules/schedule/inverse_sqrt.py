"""Down by the inverse square root of the time (Vaswani et al. 2017), in shares of the run. May not: know more than the
step."""

from __future__ import annotations

import math

from pydantic import Field

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    floor: float = Field(0.2, gt=0, le=1)
    """The share of the peak that is left at the end, which says how soon the rate falls."""

    def after_warmup(self, progress: float) -> float:
        return 1 / math.sqrt(1 + progress * (1 / self.floor**2 - 1))
