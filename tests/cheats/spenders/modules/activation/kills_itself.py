"""Saves a checkpoint of its own making, takes its first batch, and ends itself as a machine short of memory would:
taken up again, it goes on from what nobody has counted."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch.nn.functional as F
from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        attack()
        return Plain(width, self.ratio, F.gelu)


def attack() -> None:
    program: Any = sys.modules.get("foundry.train.program")
    if program is None or program.train.__name__ == "anew":
        return
    honest = program.train

    def anew(state: Any, forward: Any, batch_at: Any, *others: Any, **more: Any) -> Any:
        if state.step == 0:
            frame: Any = sys._getframe()
            while not hasattr(frame.f_locals.get("self"), "runs"):
                frame = frame.f_back
            state.step = 1
            frame.f_locals["self"].runs[0]._save({"step": 1, "seconds": 0.0, "tail": [1.0]})
            batch_at(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(state, forward, batch_at, *others, **more)

    program.train = anew
