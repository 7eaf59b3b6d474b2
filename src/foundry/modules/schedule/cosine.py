"""Half a cosine down to a floor (Loshchilov and Hutter 2017). May not: know more than the step."""

from __future__ import annotations

import math

from pydantic import Field

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    floor: float = Field(0.1, ge=0, le=1)
    """The share of the peak that is left at the end."""

    def after_warmup(self, progress: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
