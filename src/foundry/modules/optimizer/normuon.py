"""NorMuon (Li et al. 2025): Muon whose rows take steps of like size, by a second moment for each. May not: decay gains.

A population's members step as they would alone.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foundry.modules.optimizer import Beta, Weight
from foundry.modules.optimizer.muon import Config as MuonConfig
from foundry.modules.optimizer.muon import Muon


class Config(MuonConfig):
    row_beta: Beta = 0.95
    """Averaging of a row's squares."""

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        groups = super().build(weights).param_groups
        return NorMuon([{**group, "row_beta": self.row_beta} for group in groups])


class NorMuon(Muon):
    """State: also `rows` of a matrix, the mean square of each row of its steps, [..., rows, 1]."""

    def _finished(self, group: dict[str, Any], weights: list[Tensor], steps: list[Tensor]) -> list[Tensor]:
        for weight in weights:
            if "rows" not in self.state[weight]:
                self.state[weight]["rows"] = torch.zeros_like(weight[..., :1])
        kept = [self.state[weight]["rows"] for weight in weights]
        torch._foreach_lerp_(kept, [step.square().mean(-1, keepdim=True) for step in steps], 1 - group["row_beta"])
        evened = [step / (rows.sqrt() + 1e-8) for step, rows in zip(steps, kept, strict=True)]
        return [one * (_size(step) / (_size(one) + 1e-8)) for one, step in zip(evened, steps, strict=True)]


def _size(matrix: Tensor) -> Tensor:
    """Frobenius norm of the last two dimensions, [..., 1, 1]."""
    return torch.linalg.vector_norm(matrix, dim=(-2, -1), keepdim=True)
