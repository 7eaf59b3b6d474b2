"""PolyLoss (Leng et al. 2022): cross-entropy with another weight for the first term of its series in 1 − p. May not:
decide any score."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from foundry.modules.loss import LossConfig, LossFunction, member_mean, token_cross_entropy


class Config(LossConfig):
    neutral: ClassVar = {"epsilon": 0.0}

    epsilon: float = Field(1.0, ge=-1, le=10)
    """Of (1 − p), p the probability of the right token; 0 is plain cross-entropy."""

    def build(self) -> LossFunction:
        def poly(logits: Tensor, targets: Tensor) -> Tensor:
            """logits [P?, B, T, V], targets [P?, B, T] → [] or [P], nats."""
            nats = token_cross_entropy(logits, targets)
            return member_mean(nats - self.epsilon * (-nats).expm1())

        return poly
