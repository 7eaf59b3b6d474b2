"""The two shapes of feed-forward block that the activation kinds fill with a function.

Shapes: D width, F hidden. May not: let tokens meet, add the residual.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from foundry.modules.layers import Linear

Elementwise = Callable[[Tensor], Tensor]


class Plain(nn.Module):
    """x [.., D] → down(function(up(x))), F = ratio · D."""

    def __init__(self, width: int, ratio: float, function: Elementwise) -> None:
        super().__init__()
        hidden = max(1, round(ratio * width))
        self.up = Linear(width, hidden)
        self.down = Linear(hidden, width, role="out")
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.function(self.up(x)))


class Gated(nn.Module):
    """x [.., D] → down(function(gate(x)) · up(x)): three matrices with the parameters of the plain block's two."""

    def __init__(self, width: int, ratio: float, function: Elementwise) -> None:
        super().__init__()
        hidden = gated_hidden(width, ratio)
        self.gate = Linear(width, hidden)
        self.up = Linear(width, hidden)
        self.down = Linear(hidden, width, role="out")
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.function(self.gate(x)) * self.up(x))


def gated_hidden(width: int, ratio: float) -> int:
    """⅔ · ratio · D, rounded to a multiple of 8 (what vector units and tensor cores want)."""
    return max(8, 8 * round(ratio * width * 2 / 3 / 8))
