"""Cautious AdamW (Liang et al. 2024): only those numbers of a weight move whose step agrees with the gradient. May not:
decay gains.

The paper makes up for those left out by larger steps of the others; here the rate does, so that every number steps by
itself, and a population's members as they would alone.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from foundry.modules.optimizer._adaptive import Adaptive, AdaptiveConfig, adam_direction


class Config(AdaptiveConfig):
    def rule(self) -> type[Adaptive]:
        return CautiousAdamW


class CautiousAdamW(Adaptive):
    def direction(self, state: dict[str, Any], slope: Tensor, group: dict[str, Any]) -> Tensor:
        step = adam_direction(state, slope, slope.square(), group)
        return step * (step * slope > 0)
