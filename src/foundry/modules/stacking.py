"""Modules of equal structure as one with parameters [P, ...], and back. May not: mix members.

Tied parameters stay tied, buffers (the same in every member) stay as they are, roles go along.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from foundry.modules import layers

M = TypeVar("M", bound=nn.Module)


def stack(modules: Sequence[M]) -> M:
    """One module whose every parameter is the members' stacked along a new first axis; they are copied.

    Raises ValueError when there are none, or names or shapes differ.
    """
    if not modules:
        raise ValueError("a population has at least one member")
    named = [dict(module.named_parameters()) for module in modules]
    shapes = [{name: tensor.shape for name, tensor in own.items()} for own in named]
    for i, other in enumerate(shapes):
        if other != shapes[0]:
            odd = sorted(name for name in other.keys() | shapes[0].keys() if other.get(name) != shapes[0].get(name))
            raise ValueError(f"member {i} differs from member 0 at {', '.join(odd[:4])}")
    return _with_parameters(modules[0], lambda name: torch.stack([own[name].detach() for own in named]))


def unstack(module: M, member: int) -> M:
    """Member number `member` alone, its parameters copied. Raises IndexError."""
    named = dict(module.named_parameters())
    return _with_parameters(module, lambda name: named[name].detach()[member].clone())


def _with_parameters(module: M, value_of: Callable[[str], Tensor]) -> M:
    """A copy of `module` with each parameter replaced by `value_of(its name)`; the original keeps its own."""
    replaced: dict[int, object] = {}
    for name, old in module.named_parameters():  # each tied parameter once
        new = nn.Parameter(value_of(name), requires_grad=old.requires_grad)
        new.role = layers.role_of(old)  # type: ignore[attr-defined]
        replaced[id(old)] = new
    return copy.deepcopy(module, replaced)  # deepcopy's memo puts the new ones wherever the old ones were
