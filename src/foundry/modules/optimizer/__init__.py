"""Slot `train.optimizer`: from gradients to steps. May not: read data, change the model's structure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, SerializeAsAny
from torch import nn

from foundry.core.slot import PartConfig, Slot


@dataclass(frozen=True)
class Weight:
    """A parameter with its name and its role (see `modules/parts.py`)."""

    name: str
    tensor: nn.Parameter
    role: str


class OptimizerConfig(PartConfig, ABC):
    """Every kind has a peak learning rate; the loop multiplies each group's `peak_lr` by the schedule."""

    lr: float = Field(gt=0, le=10)

    @abstractmethod
    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        """A torch optimizer, each of whose groups has `peak_lr`; its state_dict holds all its state."""


SLOT = Slot("optimizer", "train.optimizer")
OptimizerField = Annotated[SerializeAsAny[OptimizerConfig], SLOT.field()]
