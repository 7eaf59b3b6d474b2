"""Text from a model, token by token, with a key/value cache. May not: know a tokenizer, train.

Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foundry.model import GPT
from foundry.modules.forward_context import Cache


@torch.no_grad()
def generate(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    generator: torch.Generator | None = None,
    cached: bool = True,
    told: Callable[[int], None] = lambda count: None,
) -> Tensor:
    """ids [B, T] → [B, T + max_new_tokens]: the prompt and what follows it.

    temperature: 0 takes the likeliest token; top_k: 0 for the whole vocabulary; generator: on the ids' device;
    cached: False reads the whole context for each token, for a model whose code may know no cache; told: hears how
    many there are after each.
    When the context is full, the last half of it is read again into a fresh cache: positions start from 0 once more,
    and a token costs as much as before, on average. A prompt longer than the context is cut to its end.
    Raises ValueError for a stacked model, an empty prompt, or a temperature or top_k below 0.
    """
    if model.members is not None:
        raise ValueError("generate from one member: population.unstack(model, i)")
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(f"a prompt is [B, T] with T ≥ 1, got {list(ids.shape)}")
    if temperature < 0 or top_k < 0:
        raise ValueError(f"temperature {temperature} and top_k {top_k} must be at least 0")
    context, training = model.config.context, model.training
    model.eval()
    try:
        cache, unread = Cache(), ids[:, -context:]
        for count in range(1, max_new_tokens + 1):
            if not cached:
                cache, unread = Cache(), ids[:, -context:]
            elif cache.length + unread.shape[1] > context:
                cache, unread = Cache(), ids[:, -max(1, context // 2) :]
            logits_BV = model.logits(model.stream(unread, cache if cached else None)[:, -1:])[:, 0]
            unread = choose(logits_BV, temperature, top_k, generator)
            ids = torch.cat((ids, unread), dim=1)
            told(count)
    finally:
        model.train(training)
    return ids


def choose(logits_BV: Tensor, temperature: float, top_k: int, generator: torch.Generator | None) -> Tensor:
    """One token for each row, [B, 1]."""
    if temperature == 0:
        return logits_BV.argmax(-1, keepdim=True)
    logits_BV = logits_BV.float() / temperature
    if 0 < top_k < logits_BV.shape[-1]:
        least = logits_BV.topk(top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least, float("-inf"))
    return torch.multinomial(logits_BV.softmax(-1), 1, generator=generator)
