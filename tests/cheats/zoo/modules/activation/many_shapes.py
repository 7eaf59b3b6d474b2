"""A feed-forward with a lot of code: eight curves, each a function with its source, mixed by a softmax for each token.

Each hidden channel passes all eight curves; the token says how much of each is kept. Nothing is shared between tokens.
May not: let tokens meet. Shapes: D width, M hidden channels, S curves; any leading dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

TEMPERATURE = 2.0
"""Above 1: at the start no curve is preferred."""


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return ManyShapes(width, max(1, round(self.ratio * width)))


def rectified(x: Tensor) -> Tensor:
    """max(x, 0) (Nair and Hinton 2010)."""
    return x.clamp_min(0)


def squared(x: Tensor) -> Tensor:
    """max(x, 0)² (So et al. 2021)."""
    return x.clamp_min(0).square()


def gaussian(x: Tensor) -> Tensor:
    """x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def swish(x: Tensor) -> Tensor:
    """x · σ(x) (Ramachandran et al. 2017)."""
    return x * x.sigmoid()


def mish(x: Tensor) -> Tensor:
    """x · tanh(log(1 + exp x)) (Misra 2019)."""
    return x * nn.functional.softplus(x).tanh()


def exponential(x: Tensor) -> Tensor:
    """x above zero, exp(x) − 1 below (Clevert et al. 2015)."""
    return torch.where(x > 0, x, x.clamp_max(0).exp() - 1)


def soft_sign(x: Tensor) -> Tensor:
    """x / (1 + |x|) (Bergstra et al. 2009)."""
    return x / (1 + x.abs())


def snake(x: Tensor) -> Tensor:
    """x + sin²x (Ziyin et al. 2020): the only one that knows periods."""
    return x + x.sin().square()


CURVES: tuple[Callable[[Tensor], Tensor], ...] = (
    rectified,
    squared,
    gaussian,
    swish,
    mish,
    exponential,
    soft_sign,
    snake,
)


class Chooser(nn.Module):
    """x [.., D] → shares [.., S] that add up to one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scores = Linear(width, len(CURVES))

    def forward(self, x: Tensor) -> Tensor:
        return (self.scores(x) / TEMPERATURE).softmax(-1)


class Mixture(nn.Module):
    """(h [.., M], shares [.., S]) → Σ share · curve(h) [.., M]."""

    def forward(self, hidden: Tensor, shares: Tensor) -> Tensor:
        mixed = torch.zeros_like(hidden)
        for place, curve in enumerate(CURVES):
            mixed = mixed + shares[..., place, None] * curve(hidden)
        return mixed


class ManyShapes(nn.Module):
    """x [.., D] → down(mixture(up(x), chooser(x)))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.chooser, self.mixture = Chooser(width), Mixture()
        self.up, self.down = Linear(width, hidden), Linear(hidden, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.mixture(self.up(x), self.chooser(x)))
