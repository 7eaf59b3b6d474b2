"""A convolution over time padded on both sides, so that its middle is the token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Centred(width)


class Centred(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.here, self.after = (Linear(width, 2 * width) for _ in range(3))
        self.down = Linear(2 * width, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        wide = F.pad(x, (0, 0, 1, 1))
        hidden = self.before(wide[..., :-2, :]) + self.here(x) + self.after(wide[..., 2:, :])
        return self.down(F.gelu(hidden))
