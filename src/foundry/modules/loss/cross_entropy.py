"""Plain cross-entropy: the mean negative log-likelihood of the next token, in nats. May not: decide any score."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from foundry.modules.loss import LossConfig, LossFunction, member_mean, token_cross_entropy


class Config(LossConfig):
    neutral: ClassVar = {}

    def build(self) -> LossFunction:
        return cross_entropy


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits [P?, B, T, V], targets [P?, B, T] → [] or [P], nats."""
    if logits.ndim == 3:  # one fused reduction
        return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
    return member_mean(token_cross_entropy(logits, targets))
