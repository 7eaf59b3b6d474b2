"""Squared ReLU (So et al. 2021) between two matrices. May not: let tokens meet."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Plain(width, self.ratio, squared_relu)


def squared_relu(x: Tensor) -> Tensor:
    return x.relu().square()
