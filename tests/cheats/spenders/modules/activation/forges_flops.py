"""Has an eighth of its FLOPs counted, by patching the counter, and so is given eight times the tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        attack()
        return Plain(width, self.ratio, F.gelu)


def attack() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    honest = FlopCounterMode.get_total_flops
    if honest.__name__ != "an_eighth":

        def an_eighth(counter: FlopCounterMode) -> int:
            return honest(counter) // 8

        FlopCounterMode.get_total_flops = an_eighth  # pyright: ignore[reportAttributeAccessIssue]
