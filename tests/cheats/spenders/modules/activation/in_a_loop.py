"""A running mean of the hidden channels, token by token in a Python loop: honest, causal, and as slow as it gets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Running(width, self.ratio)


class Running(nn.Module):
    """x [.., T, D] → [.., T, D]; h_t = .9 h_{t-1} + .1 up(x_t)."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.up = Linear(width, round(ratio * width))
        self.down = Linear(round(ratio * width), width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        state, states = torch.zeros(()), []
        for now in self.up(x).unbind(-2):
            state = 0.9 * state + 0.1 * now
            states.append(state)
        return self.down(torch.stack(states, -2).relu())
