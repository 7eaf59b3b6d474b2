"""ReGLU (Shazeer 2020): a ReLU gate, hidden shrunk to keep the parameters. May not: let tokens meet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Gated


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Gated(width, self.ratio, F.relu)
