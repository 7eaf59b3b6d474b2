"""A squared ReLU whose backward pass keeps the input alone, and lets some of the gradient through below zero.

May not: let tokens meet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Part(width, max(1, round(self.ratio * width)))


class LeakyBehind(torch.autograd.Function):
    """relu(x)² forward; backward as if it had a slope of a hundredth where it is flat."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.relu().square()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.where(x > 0, 2 * x, 0.01)


class Part(nn.Module):
    """x [.., D] → down(square(up(x)))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = Linear(width, hidden), Linear(hidden, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        hidden: Any = LeakyBehind.apply(self.up(x))
        return self.down(hidden)
