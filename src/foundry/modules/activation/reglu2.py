"""A squared ReLU as the gate (So et al. 2021, Shazeer 2020), hidden shrunk to keep the parameters. May not: let tokens
meet."""

from __future__ import annotations

from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.activation.relu2 import squared_relu
from foundry.modules.feedforward import Gated


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Gated(width, self.ratio, squared_relu)
