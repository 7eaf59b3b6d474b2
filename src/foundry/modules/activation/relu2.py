"""Squared ReLU (So et al. 2021) between two matrices. May not: let tokens meet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Plain(width, self.ratio, squared_relu)


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)², any shape."""
    return x.relu().square() if torch.compiler.is_compiling() else _SquaredRelu.apply(x)


class _SquaredRelu(torch.autograd.Function):
    """Its derivative by hand, 2 max(x, 0): two passes over memory where autograd takes four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.relu()
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        (positive,) = ctx.saved_tensors
        return (slope * positive).mul_(2)
