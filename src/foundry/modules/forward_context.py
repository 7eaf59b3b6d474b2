"""What travels beside the residual stream through one forward pass: ids, positions, masks, the cache of generation.

May not: outlive the pass (only `Cache` does, and its owner is the one who generates), hold parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from foundry.modules.position import Position
from foundry.modules.values import Values


@dataclass
class Cache:
    """What attention keeps of the tokens so far: a tuple of tensors a layer, time in dimension -2."""

    length: int = 0
    layers: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    def extend(self, layer: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Append along time what `layer` computed for the new tokens; all so far comes back."""
        old = self.layers.get(layer)
        joined = new if old is None else tuple(torch.cat(pair, dim=-2) for pair in zip(old, new, strict=True))
        self.layers[layer] = joined
        return joined


@dataclass
class Side:
    """ids [P?, B, T]; offset is the position of the first of them (0 except when generating)."""

    ids: Tensor
    position: Position
    offset: int = 0
    cache: Cache | None = None
    value_source: Values | None = None
    _first_values: Tensor | None = field(default=None, repr=False)
    _masks: dict[tuple[int, int, int, torch.dtype], Tensor | None] = field(default_factory=dict, repr=False)

    def remember(self, layer: int, *new: Tensor) -> tuple[Tensor, ...]:
        """`new` itself, or with a cache, all that `layer` has seen so far with `new` at its end."""
        return new if self.cache is None else self.cache.extend(layer, *new)

    def values(self, layer: int, v: Tensor) -> Tensor:
        """v [P?, B, K, T, E], what `layer` computed for the new tokens, with what else the model puts into values."""
        if self.value_source is None:
            return v
        if layer == 0:
            self._first_values = v
        assert self._first_values is not None, "layer 0 is the first that attends"
        return self.value_source(layer, v, self.ids, self._first_values)

    def mask(self, queries: int, keys: int, window: int, dtype: torch.dtype) -> Tensor | None:
        """What `scaled_dot_product_attention` needs besides `is_causal`: None, or causality, window and bias as one.

        The last query is the last key. window: how many keys a query sees, itself included; 0 for all. Made once a
        pass and shared by the layers. Returns bool [queries, keys] (true is seen) or a bias [1, H, queries, keys]
        (four dimensions: with three, the CPU's fused kernel is passed over, 8% of a small model's step).
        """
        key = (queries, keys, window, dtype)
        if key not in self._masks:
            self._masks[key] = self._make_mask(*key)
        return self._masks[key]

    def _make_mask(self, queries: int, keys: int, window: int, dtype: torch.dtype) -> Tensor | None:
        device = self.ids.device
        bias = self.position.bias(queries, keys, device)
        windowed = 0 < window < keys
        if bias is None and not windowed and queries in (1, keys):
            return None
        seen = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        if windowed:
            seen = seen.triu(keys - queries - window + 1)
        return seen if bias is None else bias.to(dtype).masked_fill(~seen, float("-inf")).unsqueeze(0)
