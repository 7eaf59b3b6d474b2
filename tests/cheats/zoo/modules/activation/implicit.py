"""A slow feed-forward: each channel y solves y + tanh(y) = x by thirty halvings; a Newton step carries the gradient.

May not: let tokens meet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

HALVINGS = 30


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Implicit(width, max(1, round(self.ratio * width)))


class Implicit(nn.Module):
    """x [.., D] → down(y), y + tanh(y) = up(x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = Linear(width, hidden), Linear(hidden, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        target = self.up(x)
        with torch.no_grad():
            low, high = target - 1, target + 1
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                below = middle + middle.tanh() < target
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        slope = 2 - low.tanh().square()
        return self.down(low - (low + low.tanh() - target) / slope)
