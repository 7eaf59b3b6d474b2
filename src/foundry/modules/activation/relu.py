"""ReLU (Nair and Hinton 2010) between two matrices, as in Vaswani et al. 2017. May not: let tokens meet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Plain(width, self.ratio, F.relu)
