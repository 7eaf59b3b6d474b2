"""A constant rate after the warmup. May not: know more than the step."""

from __future__ import annotations

from foundry.modules.schedule import ScheduleConfig


class Config(ScheduleConfig):
    def after_warmup(self, progress: float) -> float:
        return 1.0
