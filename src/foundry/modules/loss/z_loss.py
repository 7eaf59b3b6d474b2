"""z-loss (Chowdhery et al. 2022, PaLM): cross-entropy, and a little for logits whose sum of exponentials drifts from 1.
May not: decide any score."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from foundry.modules.loss import LossConfig, LossFunction, member_mean, token_cross_entropy


class Config(LossConfig):
    neutral: ClassVar = {"weight": 0.0}

    weight: float = Field(1e-4, ge=0, le=1)
    """Of log²(Σ exp(logits)); 0 is plain cross-entropy."""

    def build(self) -> LossFunction:
        def z_loss(logits: Tensor, targets: Tensor) -> Tensor:
            """logits [P?, B, T, V], targets [P?, B, T] → [] or [P], nats."""
            nats = token_cross_entropy(logits, targets)
            return member_mean(nats + self.weight * logits.float().logsumexp(-1).square())

        return z_loss
