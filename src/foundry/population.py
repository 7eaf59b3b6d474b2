"""GPTs of equal structure as one model with parameters [P, ...], and back. May not: train, choose who is stacked."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.core.slot import PartConfig
from foundry.model import GPT
from foundry.modules import stacking


def stack(models: Sequence[GPT]) -> GPT:
    """One model with logits [P, B, T, V], member i of it the i-th of `models`; their parameters are copied.

    Raises ValueError when there are none, one is a stack already, a part declares `population = False`, or their
    parameters' names or shapes differ.
    """
    for model in models[:1]:
        if alone := [name for name, part in model.config if isinstance(part, PartConfig) and not part.population]:
            raise ValueError(f"{', '.join(alone)}: declared to train alone")
    if any(model.members is not None for model in models):
        raise ValueError("a stack can't be a member of a stack")
    return stacking.stack(models)


def unstack(model: GPT, member: int) -> GPT:
    """Member number `member` of a stacked model as a model of its own. Raises ValueError, IndexError."""
    if model.members is None:
        raise ValueError("this model stands alone")
    return stacking.unstack(model, member)
