"""The peak held, then down by the square root of the time (Hägele et al. 2024). May not: know more than the step."""

from __future__ import annotations

import math

from pydantic import Field

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    decay: float = Field(0.2, gt=0, le=1)
    """Share of the steps after the warmup in which the rate falls."""
    floor: float = Field(0.0, ge=0, le=1)
    """The share of the peak that is left at the end."""

    def after_warmup(self, progress: float) -> float:
        fallen = max(0.0, (progress - (1 - self.decay)) / self.decay)
        return 1 - (1 - self.floor) * math.sqrt(fallen)
