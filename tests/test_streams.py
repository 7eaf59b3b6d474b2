"""What a seed decides, and what two arms of one seed share: initialisation by name, data order, dropout, apart."""

from __future__ import annotations

from pathlib import Path

import torch

from foundry.data import stream
from foundry.model import GPT, initialise
from foundry.mutate import mutate
from foundry.recipe import Recipe
from tests.home import write_tiny

VOCABULARY = 97


def weights(recipe: Recipe, seed: int) -> dict[str, torch.Tensor]:
    model = GPT(recipe.model, VOCABULARY)
    initialise(model, seed)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_a_changed_architecture_starts_from_the_same_weights_wherever_names_and_shapes_agree(tmp_path: Path) -> None:
    recipe = Recipe.load(write_tiny(tmp_path / "a.yaml", model__layers=2))
    for mutation in ("position:rope", "activation:swiglu", "norm:rmsnorm", "attention:gqa_1kv"):
        ours, theirs = weights(recipe, 1), weights(mutate(recipe, mutation)[0], 1)
        shared = [name for name in ours if name in theirs and ours[name].shape == theirs[name].shape]
        assert any(ours[name].ndim == 2 for name in shared), "matrices, which are drawn at random, among them"
        assert all(torch.equal(ours[name], theirs[name]) for name in shared), mutation


def test_another_seed_or_another_name_is_another_draw(tmp_path: Path) -> None:
    recipe = Recipe.load(write_tiny(tmp_path / "a.yaml", model__layers=2))
    one, other = weights(recipe, 1), weights(recipe, 2)
    drawn = [name for name, tensor in one.items() if tensor.ndim == 2]
    assert all(not torch.equal(one[name], other[name]) for name in drawn)
    for i, a in enumerate(drawn):
        for b in drawn[i + 1 :]:
            if one[a].shape == one[b].shape:
                assert not torch.equal(one[a], one[b]), (a, b)


def test_data_order_hangs_on_the_seed_alone_and_not_on_the_recipe() -> None:
    tokens = torch.arange(5000).to(torch.uint16)
    short, long = stream.batch(tokens, 16, 4, seed=3, step=7), stream.batch(tokens, 16, 8, seed=3, step=7)
    assert torch.equal(short, long[:4]), "a larger batch begins with the smaller one's rows"
    assert not torch.equal(short, stream.batch(tokens, 16, 4, seed=4, step=7))


def test_dropout_draws_from_a_stream_of_its_own(tmp_path: Path) -> None:
    """Dropout on or off: the same first weights, and the same batches (which never see torch's generator)."""
    plain = Recipe.load(write_tiny(tmp_path / "a.yaml"))
    dropped = Recipe.load(write_tiny(tmp_path / "b.yaml", model__dropout=0.5))
    for name, tensor in weights(plain, 5).items():
        assert torch.equal(tensor, weights(dropped, 5)[name])
    tokens = torch.arange(5000).to(torch.uint16)
    torch.manual_seed(1)
    one = stream.batch(tokens, 16, 4, seed=3, step=0)
    torch.manual_seed(2)
    assert torch.equal(one, stream.batch(tokens, 16, 4, seed=3, step=0))
