"""Recipe section `train`: batch, loss, optimizer, schedule, and what keeps them stable."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from foundry.core.section import Section
from foundry.modules.loss import Loss
from foundry.modules.optimizer import OptimizerField
from foundry.modules.schedule import Schedule


class TrainConfig(Section):
    batch_size: int = Field(ge=1, le=1_048_576)
    """Sequences of `model.context` tokens a step, over all processes and micro-batches."""
    accumulation: int = Field(1, ge=1, le=65536)
    """Micro-batches that one step's gradient is summed over."""
    loss: Loss
    optimizer: OptimizerField
    schedule: Schedule
    grad_clip: float = Field(1.0, ge=0)
    """Largest global gradient norm; 0 for none."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay per step of the averaged weights that are judged and saved; 0 for none."""
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _micro_batches_are_equal(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self
