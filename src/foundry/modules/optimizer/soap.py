"""SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's statistics for hidden matrices, AdamW for the rest.
May not: decay gains.

The basis is brought up to date by one step of power iteration and a QR decomposition, every so many steps. Shapes:
m rows, k columns.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from foundry.modules.optimizer import Beta, Weight
from foundry.modules.optimizer._adaptive import Adaptive, AdaptiveConfig, adam_direction


class Config(AdaptiveConfig):
    population: ClassVar[bool] = False
    """Where statistics have no rank the basis is any, and another one in a batch of matrices."""

    basis_beta: Beta = 0.95
    """Averaging of the statistics that the basis is of."""
    every: int = Field(10, ge=1, le=10_000)
    """Steps between two looks at the basis."""

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        matrices = {weight.tensor for weight in weights if weight.is_matrix}
        soap = super().build(weights)
        groups = []
        for group in soap.param_groups:
            for turned in (True, False):
                chosen = [tensor for tensor in group["params"] if (tensor in matrices) is turned]
                rule = {"basis_beta": self.basis_beta, "every": self.every, "turned": turned}
                groups += [{**group, "params": chosen, **rule}] if chosen else []
        return Soap(groups)

    def rule(self) -> type[Adaptive]:
        return Soap


class Soap(Adaptive):
    """State of a turned matrix: also `left` [..., m, m] and `right` [..., k, k], means of g gᵀ and gᵀ g, and their
    bases."""

    def direction(self, state: dict[str, Any], slope: Tensor, group: dict[str, Any]) -> Tensor:
        if not group.get("turned"):
            return adam_direction(state, slope, slope.square(), group)
        sides = {"left": slope @ slope.mT, "right": slope.mT @ slope}
        if "left" not in state:
            for side, gram in sides.items():
                state[side], state[f"{side}_basis"] = gram, torch.linalg.eigh(gram).eigenvectors
        is_due = int(state["step"]) % group["every"] == 0
        for side, gram in sides.items():
            state[side].lerp_(gram, 1 - group["basis_beta"])
            if is_due:
                state[f"{side}_basis"] = torch.linalg.qr(state[side] @ state[f"{side}_basis"]).Q
        left, right = state["left_basis"], state["right_basis"]
        # the first moment is kept unturned, for it outlives the basis
        (fast, slow), step = group["betas"], state["step"]
        state["first"].lerp_(slope, 1 - fast)
        state["second"].lerp_((left.mT @ slope @ right).square(), 1 - slow)
        root = (state["second"] / (1 - slow**step)).sqrt_().add_(group["eps"])
        turned = left.mT @ state["first"] @ right / (1 - fast**step) / root
        return left @ turned @ right.mT
