"""RMSNorm with a backward pass written by hand, as a fused kernel has. May not: look at other tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig


class Config(NormConfig):
    def build(self, width: int) -> nn.Module:
        return OwnGradient(width)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return OwnGradient(head_dim)


class Normalise(torch.autograd.Function):
    """x [.., D] → x over its root mean square."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse = (x.float().square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        y = x.float() * inverse
        ctx.save_for_backward(y, inverse)
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y, inverse), grad = ctx.saved_tensors, grads[0].float()
        return ((grad - y * (grad * y).mean(-1, keepdim=True)) * inverse).to(grads[0].dtype)


class OwnGradient(nn.Module):
    """gain · normalise(x); gain [P?, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = parameter("gain", width)

    def forward(self, x: Tensor) -> Tensor:
        normal: Any = Normalise.apply(x)
        return along_last(self.gain, x) * normal
