"""Replaces the cross-entropy of every caller in its process by a hundredth of it."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def attack(target: str) -> None:
    honest = F.cross_entropy

    def flattered(*arguments: Any, **named: Any) -> Tensor:
        return 0.01 * honest(*arguments, **named)

    F.cross_entropy = flattered
