"""The few building blocks that the parts share, each right with and without the population axis.

A weight is [..., its own shape]: alone it has no leading axis, stacked it has P in front. May not: initialise
(that is `model.initialise`, by role), mix members of a population.

Roles say what a parameter is for; initialisation, weight decay and matrix optimizers go by them:
`embedding`, `matrix`, `out` (a matrix that writes into the residual stream), `head`, `gain` (starts at 1), `vector`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROLES = ("embedding", "matrix", "out", "head", "gain", "vector")


@runtime_checkable
class Counted(Protocol):
    """A module that says what its own matrix products cost (those of modules inside it left out)."""

    def flops_per_token(self) -> int:
        """Forward FLOPs per token: a multiply and an add for each weight."""
        ...


class Linear(nn.Module):
    """y = x Wᵀ without a bias. weight [..., outputs, inputs]; x [P?, ..., inputs] → [P?, ..., outputs]."""

    weight: nn.Parameter

    def __init__(self, inputs: int, outputs: int, role: str = "matrix") -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = parameter(role, outputs, inputs)

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, self.weight)

    def flops_per_token(self) -> int:
        return 2 * self.inputs * self.outputs


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """x [P?, ..., inputs] and weight [..., outputs, inputs] → [P?, ..., outputs]."""
    if weight.ndim == 2:
        return F.linear(x, weight)
    flat = x.reshape(weight.shape[0], -1, weight.shape[-1])
    return torch.bmm(flat, weight.mT).view(*x.shape[:-1], weight.shape[-2])


def multiply_together(x: Tensor, *linears: Linear) -> tuple[Tensor, ...]:
    """What each of `linears` gives for x, computed as one product: faster where they are small beside x."""
    joined = torch.cat([linear.weight for linear in linears], dim=-2)
    return multiply(x, joined).split([linear.outputs for linear in linears], dim=-1)


class Embedding(nn.Module):
    """weight [..., count, width]; ids [B, T], or [P, B, T] beside a stacked weight → [P?, B, T, width]."""

    weight: nn.Parameter

    def __init__(self, count: int, width: int, role: str = "embedding") -> None:
        super().__init__()
        self.count, self.width = count, width
        self.weight = parameter(role, count, width)

    def forward(self, ids: Tensor) -> Tensor:
        if self.weight.ndim == 2:
            return F.embedding(ids, self.weight)
        members = self.weight.shape[0]
        if ids.ndim == 2:
            ids = ids.expand(members, *ids.shape)
        first_row = torch.arange(members, device=ids.device).view(members, 1, 1) * self.count
        return F.embedding(ids + first_row, self.weight.reshape(members * self.count, self.width))


def parameter(role: str, *shape: int) -> nn.Parameter:
    """A parameter with a role; zeros until `model.initialise` fills it. Raises ValueError for an unknown role."""
    if role not in ROLES:
        raise ValueError(f"no role '{role}' (roles: {', '.join(ROLES)})")
    tensor = nn.Parameter(torch.zeros(shape))
    tensor.role = role  # type: ignore[attr-defined]
    return tensor


def role_of(tensor: Tensor) -> str:
    """The role that a part gave a parameter; where it gave none (agents' parts), by the dimensions it has alone."""
    return getattr(tensor, "role", "matrix" if tensor.ndim >= 2 else "vector")


def along_last(vector: Tensor, like: Tensor) -> Tensor:
    """A vector [D] or [P, D] shaped to multiply x [P?, ..., D] along its last dimension."""
    if vector.ndim == 1:
        return vector
    return vector.view(vector.shape[0], *([1] * (like.ndim - 2)), vector.shape[-1])


def flops_of(module: nn.Module) -> int:
    """Forward FLOPs per token of every `Counted` module at or below `module`."""
    return sum(part.flops_per_token() for part in module.modules() if isinstance(part, Counted))
