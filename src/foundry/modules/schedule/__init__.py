"""Slot `train.schedule`: the learning rate's course, as a share of its peak. May not: know more than the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field, SerializeAsAny

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


class ScheduleConfig(PartConfig, ABC):
    """Written in shares of the run, so that a shorter budget gives the same schedule rescaled."""

    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the rate rises linearly from 0 to its peak."""

    def alike(self, context: int, layers: int, steps: int) -> PartConfig:
        warmup = self.warmup_steps(steps) / steps
        if all(self.after_warmup(i / 64) == 1.0 for i in range(64)):
            return SLOT.parse({"kind": "constant", "warmup": warmup})
        return self.model_copy(update={"warmup": warmup})

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """The multiplier of the peak, between 0 and 1, when a share `progress` (0 ≤ progress < 1) of the steps
        after the warmup is done."""

    def warmup_steps(self, steps: int) -> int:
        return min(round(self.warmup * steps), steps - 1)

    def share(self, step: int, steps: int) -> float:
        """The multiplier of the peak at `step` of `steps` (0 ≤ step < steps), between 0 and 1; never 0 at step 0."""
        warmup_steps = self.warmup_steps(steps)
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return self.after_warmup((step - warmup_steps) / (steps - warmup_steps))


SLOT = slot_named("schedule")
Schedule = Annotated[SerializeAsAny[ScheduleConfig], SLOT.field()]
