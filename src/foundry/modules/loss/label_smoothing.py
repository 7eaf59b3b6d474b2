"""Label smoothing (Szegedy et al. 2016): a share of the target goes to all tokens alike. May not: decide any score."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from foundry.modules.loss import LossConfig, LossFunction, member_mean, token_cross_entropy


class Config(LossConfig):
    neutral: ClassVar = {"smoothing": 0.0}

    smoothing: float = Field(0.1, ge=0, lt=1)
    """The share of probability that is spread evenly over the vocabulary; 0 is plain cross-entropy."""

    def build(self) -> LossFunction:
        def smoothed(logits: Tensor, targets: Tensor) -> Tensor:
            """logits [P?, B, T, V], targets [P?, B, T] → [] or [P], nats."""
            true = member_mean(token_cross_entropy(logits, targets))
            # fp32: a bf16 sum over a vocabulary loses the small terms
            uniform = member_mean(logits.float().logsumexp(-1) - logits.float().mean(-1))
            return (1 - self.smoothing) * true + self.smoothing * uniform

        return smoothed
