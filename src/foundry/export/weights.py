"""One weight of another library as made of ours, both ways. May not: know which library.

Shapes: R rows, C columns of a matrix, H heads, E channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foundry.core.errors import RequestError


@dataclass(frozen=True)
class Order:
    """How ours make theirs, and back: `back` is given theirs and the shapes that ours have."""

    to: Callable[[list[Tensor]], Tensor]
    back: Callable[[Tensor, list[torch.Size]], Iterable[Tensor]]


def _split(rows: Tensor, shapes: list[torch.Size]) -> Iterable[Tensor]:
    return rows.split([shape[0] for shape in shapes])


STACKED = Order(torch.cat, _split)
"""One below the other; one alone as it is."""
TRANSPOSED = Order(lambda ours: torch.cat(ours).T, lambda theirs, shapes: _split(theirs.T, shapes))


def halves(heads: int) -> Order:
    """Channels (0, 1), (2, 3), … of each head, the pairs that our positions turn, as (0, E/2), (1, E/2 + 1), …"""

    def turned(x: Tensor, pairs: tuple[int, int]) -> Tensor:
        return x.reshape(heads, *pairs, *x.shape[1:]).transpose(1, 2).reshape(x.shape)

    return Order(
        lambda ours: turned(ours[0], (ours[0].shape[0] // heads // 2, 2)),
        lambda theirs, shapes: [turned(theirs, (2, theirs.shape[0] // heads // 2))],
    )


def by_head(heads: int) -> Order:
    """The first head's rows of each of ours, then the second's."""
    return Order(
        lambda ours: torch.cat([each.unflatten(0, (heads, -1)) for each in ours], 1).flatten(0, 1),
        lambda theirs, shapes: [
            part.flatten(0, 1)
            for part in theirs.unflatten(0, (heads, -1)).split([shape[0] // heads for shape in shapes], 1)
        ],
    )


@dataclass(frozen=True)
class Weight:
    """`theirs` is made of `ours` in this order; of none of ours, it is zeros of this many channels."""

    theirs: str
    ours: tuple[str, ...]
    order: Order = STACKED
    zeros: int = 0


def renamed(table: Iterable[Weight], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their weights by their names. Raises ValueError unless each of ours has exactly one place."""
    table = list(table)
    placed = sorted(name for weight in table for name in weight.ours)
    if placed != sorted(ours):
        raise ValueError(f"without a place of their own: {sorted(set(placed) ^ ours.keys())}")
    return {
        weight.theirs: weight.order.to([ours[name] for name in weight.ours]).contiguous()
        if weight.ours
        else torch.zeros(weight.zeros)
        for weight in table
    }


def named_back(
    table: Iterable[Weight], theirs: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Our weights out of theirs, fp32. Raises RequestError for what is missing, has no place here or doesn't fit."""
    table, found = list(table), {}
    excess = sorted(theirs.keys() - {weight.theirs for weight in table})
    if excess:
        raise _unfit(excess[0], "has no place in a model of ours")
    for weight in table:
        given = theirs.get(weight.theirs)
        if given is None:
            if weight.ours:
                raise _unfit(weight.theirs, "is missing")
            continue
        if not weight.ours:
            if bool(given.count_nonzero()):
                raise _unfit(weight.theirs, "isn't zero, and our matrices and norms add nothing")
            continue
        wanted = [shapes[name] for name in weight.ours]
        like = weight.order.to([torch.empty(shape, device="meta") for shape in wanted]).shape
        if given.shape != like:
            raise _unfit(weight.theirs, f"is {list(given.shape)}, where {list(like)} is needed")
        found |= zip(weight.ours, (part.float().contiguous() for part in weight.order.back(given, wanted)), strict=True)
    return found


def _unfit(name: str, message: str) -> RequestError:
    return RequestError("import.weight", name, message)
