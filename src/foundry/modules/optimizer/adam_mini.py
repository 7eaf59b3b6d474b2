"""Adam-mini (Zhang et al. 2024): one second moment for each row of a matrix instead of one for each number. May not:
decay gains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foundry.modules.optimizer._adaptive import Adaptive, AdaptiveConfig, adam_direction


class Config(AdaptiveConfig):
    def rule(self) -> type[Adaptive]:
        return AdamMini


class AdamMini(Adaptive):
    """The second moment of gains and vectors is each number's own."""

    def second_like(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        return torch.zeros_like(weight[..., :1] if group["by_row"] else weight)

    def direction(self, state: dict[str, Any], slope: Tensor, group: dict[str, Any]) -> Tensor:
        square = slope.square()
        return adam_direction(state, slope, square.mean(-1, keepdim=True) if group["by_row"] else square, group)
