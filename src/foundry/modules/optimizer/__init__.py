"""Slot `train.optimizer`: from gradients to steps. May not: read data, change the model's structure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


@dataclass(frozen=True)
class Weight:
    """A parameter with its name and its role (see `modules/layers.py`)."""

    name: str
    tensor: nn.Parameter
    role: str

    @property
    def is_matrix(self) -> bool:
        """Whether it multiplies the stream: the hidden matrices, neither embeddings nor the head."""
        return self.role in ("matrix", "out")

    @property
    def decays(self) -> bool:
        """Whether weight decay is for it: not for gains and vectors (Radford et al. 2019)."""
        return self.role not in ("gain", "vector")


class OptimizerConfig(PartConfig, ABC):
    """Every kind has a peak learning rate; the loop multiplies each group's `peak_lr` by the schedule."""

    lr: float = Field(gt=0, le=10)

    @abstractmethod
    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        """A torch optimizer, each of whose groups has `peak_lr`; its state_dict holds all its state."""


Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Beta, Beta], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
"""Two decay rates; YAML has lists and no tuples."""


def decay_groups(weights: Iterable[Weight], lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups of one learning rate: what decays, and what doesn't. Empty ones are left out."""
    decayed, free = [], []
    for weight in weights:
        (decayed if weight.decays else free).append(weight.tensor)
    groups = ({"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0})
    return [{**group, "lr": lr, "peak_lr": lr} for group in groups if group["params"]]


SLOT = slot_named("optimizer")
OptimizerField = Annotated[SerializeAsAny[OptimizerConfig], SLOT.field()]
