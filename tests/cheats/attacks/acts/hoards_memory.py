"""Takes memory until there is none, or a sixteenth of a terabyte."""

from __future__ import annotations

import torch


def attack(target: str) -> None:
    kept = []
    for _ in range(1 << 10):
        kept.append(torch.ones(1 << 24))
