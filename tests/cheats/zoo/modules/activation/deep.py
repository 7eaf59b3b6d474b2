"""Three matrices with a SiLU after the first two (a deeper feed-forward block). May not: let tokens meet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Deep(width, max(1, round(self.ratio * width / 2)))


class Deep(nn.Module):
    """x [.., D] → down(silu(across(silu(up(x)))))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.across = Linear(width, hidden), Linear(hidden, hidden)
        self.down = Linear(hidden, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.across(F.silu(self.up(x)))))
