"""A straight line down to a floor (Defazio et al. 2023). May not: know more than the step."""

from __future__ import annotations

from pydantic import Field

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    floor: float = Field(0.0, ge=0, le=1)
    """The share of the peak that is left at the end."""

    def after_warmup(self, progress: float) -> float:
        return 1 - (1 - self.floor) * progress
