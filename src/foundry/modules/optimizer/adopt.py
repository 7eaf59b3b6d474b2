"""ADOPT (Taniguchi et al. 2024): Adam whose gradient is scaled by the squares of those before it, so that it converges
for every β₂. May not: decay gains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foundry.modules.optimizer import Betas
from foundry.modules.optimizer._adaptive import Adaptive, AdaptiveConfig


class Config(AdaptiveConfig):
    betas: Betas = (0.9, 0.9999)

    def rule(self) -> type[Adaptive]:
        return Adopt


class Adopt(Adaptive):
    """The scaled gradient is clipped at the fourth root of the steps taken before: the first one moves nothing."""

    def direction(self, state: dict[str, Any], slope: Tensor, group: dict[str, Any]) -> Tensor:
        fast, slow = group["betas"]
        before, second = state["step"] - 1, state["second"]
        most = before**0.25
        scaled = torch.clamp(slope / second.sqrt().clamp_min(group["eps"]), -most, most)
        state["first"].lerp_(scaled, 1 - fast)
        second.lerp_(slope.square(), torch.where(before > 0, 1 - slow, 1.0))  # the first square is taken whole
        return state["first"].clone()
