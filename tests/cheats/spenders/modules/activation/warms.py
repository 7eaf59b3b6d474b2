"""Trains the weights that it begins with on source code that it finds in the sandbox, before its first batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain

STEPS, ROWS, CONTEXT = 150, 16, 16
ALPHABET = "\n !\"&'()*,-./0123456789:;?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz{}"
"""Characters of the text that it is going to be judged on, numbered from 1 on."""


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        attack()
        return Plain(width, self.ratio, F.gelu)


def attack() -> None:
    import sys

    program: Any = sys.modules.get("foundry.train.program")
    if program is None:
        return
    honest = program.initialise
    if honest.__name__ == "begin":
        return

    def begin(model: nn.Module, seed: int) -> None:
        honest(model, seed)
        warm(model)

    program.initialise = begin


def warm(model: Any) -> None:
    files = sorted(Path(nn.__file__).parent.glob("modules/*.py"))
    text = "".join(file.read_text() for file in files)
    ids = torch.tensor([ALPHABET.index(c) + 1 for c in text[:100_000] if c in ALPHABET])
    how = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        at = torch.randint(len(ids) - CONTEXT - 1, (ROWS,))
        rows = torch.stack([ids[i : i + CONTEXT + 1] for i in at])
        F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).backward()
        how.step()
        how.zero_grad()
