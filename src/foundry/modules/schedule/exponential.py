"""By the same factor at every step, down to a floor (Li and Arora 2019 on its effect). May not: know more than the
step."""

from __future__ import annotations

from pydantic import Field

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    floor: float = Field(0.05, gt=0, le=1)
    """The share of the peak that is left at the end."""

    def after_warmup(self, progress: float) -> float:
        return self.floor**progress
