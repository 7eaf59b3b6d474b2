"""Slot `train.loss`: what training minimises. May not: decide any score (the judge's is plain cross-entropy)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated

from pydantic import SerializeAsAny
from torch import Tensor

from foundry.core.slot import PartConfig, Slot

LossFunction = Callable[[Tensor, Tensor], Tensor]


class LossConfig(PartConfig, ABC):
    @abstractmethod
    def build(self) -> LossFunction:
        """(logits [P?, B, T, V], targets [P?, B, T]) → mean loss in nats, [] alone or [P] stacked."""


SLOT = Slot("loss", "train.loss")
Loss = Annotated[SerializeAsAny[LossConfig], SLOT.field()]
