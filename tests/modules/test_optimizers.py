"""Optimizers: what each promises beyond the contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundry.core.errors import RequestError
from foundry.modules.newton_schulz import _by_gram, _directly, orthogonal, orthogonal_by_shape
from foundry.modules.optimizer import SLOT, OptimizerConfig, Weight

torch.set_num_threads(1)


def build(kind: str, weights: list[Weight], **fields: Any) -> torch.optim.Optimizer:
    config = SLOT.parse({"kind": kind, "lr": 0.01, **fields})
    assert isinstance(config, OptimizerConfig)
    return config.build(weights)


def weight(role: str, *shape: int, value: float = 1.0) -> Weight:
    return Weight(role, nn.Parameter(torch.full(shape, value)), role)


@pytest.mark.parametrize("kind", SLOT.kinds())
def test_gains_and_vectors_never_decay(kind: str) -> None:
    weights = [weight(role, 4, 4) if role == "matrix" else weight(role, 4) for role in ("matrix", "gain", "vector")]
    optimizer = build(kind, weights, weight_decay=0.5)
    for each in weights:
        each.tensor.grad = torch.zeros_like(each.tensor)
    optimizer.step()
    shrunk = [bool((each.tensor < 1).all()) for each in weights]
    assert shrunk == [True, False, False]


def test_adamw_is_torchs_own() -> None:
    ours, theirs = weight("matrix", 3, 3), nn.Parameter(torch.ones(3, 3))
    mine = build("adamw", [ours], betas=[0.8, 0.9], eps=1e-6, weight_decay=0.2)
    plain = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.2, fused=False)
    for step in range(5):
        for tensor in (ours.tensor, theirs):
            tensor.grad = torch.arange(9.0).view(3, 3) - step
        mine.step()
        plain.step()
    assert torch.allclose(ours.tensor, theirs, atol=1e-6)


@pytest.mark.parametrize("betas", [[0.9], [0.9, 1.0], [0.9, "0.95"], [0.9, 0.95, 0.99], 0.9])
def test_betas_are_two_numbers_below_one(betas: Any) -> None:
    with pytest.raises(RequestError) as caught:
        SLOT.parse({"kind": "adamw", "lr": 0.01, "betas": betas})
    assert caught.value.path.startswith("train.optimizer.betas")


def test_lion_takes_steps_of_one_size() -> None:
    own = weight("matrix", 2, 2)
    optimizer = build("lion", [own], weight_decay=0.0)
    own.tensor.grad = torch.tensor([[1e-6, 5.0], [-3.0, 0.0]])
    optimizer.step()
    assert torch.allclose(1 - own.tensor, 0.01 * torch.tensor([[1.0, 1.0], [-1.0, 0.0]]), atol=1e-7)


@pytest.mark.parametrize("shape", [(8, 8), (6, 20)])
def test_newton_schulz_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(x, 8))
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(x[0], full_matrices=False)
    assert torch.cosine_similarity(orthogonal(x, 8)[0].flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_iterating_on_the_gram_matrix_gives_the_same_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.randn(2, 32, 3, generator=generator) @ torch.randn(2, 3, 128, generator=generator)
    noisy = low_rank + 1e-3 * torch.randn(2, 32, 128, generator=generator)
    for x in (noisy, torch.randn(2, 32, 128, generator=generator)):
        x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
        assert torch.allclose(_by_gram(x, 5), _directly(x, 5), atol=2e-4)


def test_batching_by_shape_changes_no_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(4, 4), (4, 12), (12, 4), (4, 4), (3, 4, 12)]
    matrices: list[Tensor] = [torch.randn(shape, generator=generator) for shape in shapes]
    for made, matrix in zip(orthogonal_by_shape(matrices, 5), matrices, strict=True):
        members = matrix if matrix.ndim == 3 else matrix[None]
        wide = members.mT if matrix.shape[-2] > matrix.shape[-1] else members
        alone = torch.cat([orthogonal(member[None], 5) for member in wide])
        alone = alone.mT if matrix.shape[-2] > matrix.shape[-1] else alone
        assert torch.allclose(made, alone.reshape(matrix.shape), atol=1e-4)


def test_muon_moves_hidden_matrices_by_lr_and_leaves_the_rest_to_adamw() -> None:
    hidden, table = weight("out", 6, 6), weight("embedding", 6, 6)
    optimizer = build("muon", [hidden, table], lr=0.1, adam_lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for each in (hidden, table):
        each.tensor.grad = torch.randn(6, 6, generator=generator)
    optimizer.step()
    size = torch.linalg.matrix_norm(1 - hidden.tensor.detach(), ord=2).item()
    assert size == pytest.approx(0.1, rel=0.35)
    assert torch.allclose((1 - table.tensor.detach()).abs(), torch.full((6, 6), 0.02), rtol=1e-3)


def test_cautious_decay_shrinks_only_what_the_step_shrinks() -> None:
    generator = torch.Generator().manual_seed(0)
    start, slope = (torch.randn(5, 5, generator=generator) for _ in range(2))
    moved: dict[str, Tensor] = {}
    for name, fields in {
        "none": {},
        "plain": {"weight_decay": 1.0},
        "cautious": {"weight_decay": 1.0, "cautious": True},
    }.items():
        own = Weight("matrix", nn.Parameter(start.clone()), "matrix")
        own.tensor.grad = slope.clone()
        build("muon", [own], **fields).step()
        moved[name] = own.tensor.detach() - start
    step = moved["none"]
    decay = torch.where(start * step < 0, -0.01 * start, torch.zeros(()))
    assert torch.allclose(moved["plain"] - step, -0.01 * start, atol=1e-6)
    assert torch.allclose(moved["cautious"] - step, decay, atol=1e-6)
