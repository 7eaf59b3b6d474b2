"""Slot `train.loss`: what training minimises. May not: decide any score (the judge's is plain cross-entropy)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import SerializeAsAny
from torch import Tensor

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named

LossFunction = Callable[[Tensor, Tensor], Tensor]


class LossConfig(PartConfig, ABC):
    neutral: ClassVar[Mapping[str, Any] | None] = None
    """The values of its own fields under which a kind is plain cross-entropy; None if there are none."""

    def alike(self, context: int, layers: int, steps: int) -> PartConfig:
        own = self.model_dump(exclude={"kind"})
        return SLOT.parse("cross_entropy") if own == self.neutral else self

    @abstractmethod
    def build(self) -> LossFunction:
        """(logits [P?, B, T, V], targets [P?, B, T]) → mean loss in nats, [] alone or [P] stacked."""


def token_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Nats of each token, fp32: logits [P?, B, T, V], targets [B, T] or [P, B, T] → [P?, B, T]."""
    targets = targets.expand(logits.shape[:-1])
    flat = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


def member_mean(values: Tensor) -> Tensor:
    """[B, T] → [], or [P, B, T] → [P]: the mean over a member's own tokens."""
    return values.mean((-2, -1))


SLOT = slot_named("loss")
Loss = Annotated[SerializeAsAny[LossConfig], SLOT.field()]
