"""Generation: the cache changes nothing, the context may overflow, the random numbers are the caller's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from foundry.core.section import validate
from foundry.model import GPT, ModelConfig, initialise
from foundry.modules import attention, position
from foundry.modules.forward_context import Cache
from foundry.population import stack
from foundry.sample import choose, generate

torch.set_num_threads(1)

VOCAB = 11


def model(heads: str = "gqa", where: str = "rope", **fields: Any) -> GPT:
    values = {
        "layers": 2,
        "width": 32,
        "context": 12,
        "attention": {"kind": heads, "heads": 4},
        "norm": "rmsnorm",
        "activation": "gelu",
        "position": where,
        "init_std": 0.3,
        **fields,
    }
    made = GPT(validate(ModelConfig, values, "model"), VOCAB)
    initialise(made, 0)
    return made.eval()


def prompt(rows: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("heads", "where"), list(itertools.product(attention.SLOT.kinds(), position.SLOT.kinds())))
def test_cached_logits_equal_uncached_ones(heads: str, where: str) -> None:
    made, ids = model(heads, where), prompt(2, 12)
    cache = Cache()
    pieces = [made(piece, cache) for piece in ids.split((5, 1, 1, 3, 2), dim=1)]
    assert torch.allclose(torch.cat(pieces, 1), made(ids), atol=1e-4)


def test_greedy_generation_follows_the_likeliest_token() -> None:
    made, ids = model(), prompt(2, 3)
    out = generate(made, ids, 9, temperature=0)
    assert torch.equal(out[:, :3], ids)
    assert torch.equal(made(out)[:, 2:-1].argmax(-1), out[:, 3:])


@pytest.mark.parametrize("where", position.SLOT.kinds())
def test_a_full_context_is_read_again_from_its_last_half(where: str) -> None:
    made, ids = model(where=where), prompt(1, 12)
    out = generate(made, ids, 8, temperature=0)
    assert out.shape == (1, 20)
    assert out[0, 12] == made(ids)[0, -1].argmax()
    assert out[0, 13] == made(out[:, 7:13])[0, -1].argmax()
    assert out[0, 19] == made(out[:, 7:19])[0, -1].argmax()


def test_a_prompt_longer_than_the_context_counts_by_its_end() -> None:
    made, ids = model(), prompt(1, 30)
    assert torch.equal(
        generate(made, ids, 1, temperature=0)[:, 30:], generate(made, ids[:, -12:], 1, temperature=0)[:, 12:]
    )


def test_the_same_generator_state_gives_the_same_text() -> None:
    made, ids = model(), prompt(2, 3)
    one, again, other = (generate(made, ids, 8, 1.0, 0, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_top_k_never_gives_a_less_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).repeat(200, 1)
    generator = torch.Generator().manual_seed(0)
    assert set(choose(logits, 2.0, 2, generator).flatten().tolist()) == {1, 3}
    assert set(choose(logits, 2.0, 0, generator).flatten().tolist()) == {0, 1, 2, 3}


def test_generation_leaves_the_model_as_it_was() -> None:
    made = model(dropout=0.5).train()
    one = generate(made, prompt(1, 3), 5, temperature=0)
    assert made.training and torch.equal(one, generate(made, prompt(1, 3), 5, temperature=0))


def test_what_cannot_be_generated_from_is_refused() -> None:
    with pytest.raises(ValueError, match="unstack"):
        generate(stack([model()]), prompt(1, 3), 1)
    with pytest.raises(ValueError, match="prompt"):
        generate(model(), prompt(1, 0), 1)
    with pytest.raises(ValueError, match="temperature"):
        generate(model(), prompt(1, 3), 1, temperature=-1.0)
