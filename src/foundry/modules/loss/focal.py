"""Focal loss (Lin et al. 2017): tokens that are already predicted well weigh less. May not: decide any score."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from foundry.modules.loss import LossConfig, LossFunction, member_mean, token_cross_entropy


class Config(LossConfig):
    neutral: ClassVar = {"gamma": 0.0}

    gamma: float = Field(2.0, ge=0, le=10)
    """How fast a token's weight (1 − p)^gamma falls with its probability p; 0 is plain cross-entropy."""

    def build(self) -> LossFunction:
        def focal(logits: Tensor, targets: Tensor) -> Tensor:
            """logits [P?, B, T, V], targets [P?, B, T] → [] or [P], nats."""
            nats = token_cross_entropy(logits, targets)
            # clamped: at p = 1 the slope of (1 − p)^gamma is infinite for gamma < 1, and its product with 0 nats NaN
            missed = (-(-nats).expm1()).clamp_min(1e-6)
            return member_mean(missed**self.gamma * nats)

        return focal
