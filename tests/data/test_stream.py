"""Batches: pure functions of (seed, step); the ranks' rows together are the global batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from foundry.core.errors import RequestError, WorkError
from foundry.data import stream
from foundry.data.config import DataConfig
from foundry.data.prepare import prepare
from foundry.data.stream import batch, open_tokens, population_batch

COUNTING = torch.arange(60_000, dtype=torch.int32).to(torch.uint16)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_batch_is_windows_of_the_text() -> None:
    found = batch(COUNTING, 16, 32, seed=1, step=0)
    assert found.shape == (32, 17) and found.dtype == torch.int64
    assert (found.diff(dim=1) == 1).all() and found.min() >= 0 and found.max() < len(COUNTING)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first = batch(COUNTING, 8, 16, seed=5, step=3)
    torch.manual_seed(9)
    np.random.seed(9)
    batch(COUNTING, 8, 16, seed=5, step=4)
    assert torch.equal(first, batch(COUNTING, 8, 16, seed=5, step=3))
    assert not torch.equal(first, batch(COUNTING, 8, 16, seed=5, step=4))
    assert not torch.equal(first, batch(COUNTING, 8, 16, seed=6, step=3))


def test_batches_stay_what_they_were() -> None:
    """A change of these numbers is a change of every run's identity."""
    assert batch(COUNTING, 4, 4, seed=0, step=0)[:, 0].tolist() == [42598, 57575, 46145, 16719]


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_the_ranks_together_are_the_global_batch(world: int) -> None:
    whole = batch(COUNTING, 8, 12, seed=2, step=7)
    parts = [batch(COUNTING, 8, 12, seed=2, step=7, rank=rank, world=world) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)


def test_every_window_can_be_drawn_and_none_outside() -> None:
    tokens = COUNTING[:10]
    drawn = torch.cat([batch(tokens, 7, 64, seed=0, step=step)[:, 0] for step in range(4)])
    assert set(drawn.tolist()) == {0, 1, 2}
    assert batch(tokens, 9, 4, seed=0, step=0).tolist() == [list(range(10))] * 4


def test_windows_are_drawn_evenly() -> None:
    starts = torch.cat([batch(COUNTING, 8, 512, seed=3, step=step)[:, 0] for step in range(40)]).numpy()
    counts = np.histogram(starts, bins=20, range=(0, len(COUNTING)))[0]
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert chi_square < 50  # 19 degrees of freedom: 43.8 is the 0.999 quantile


@pytest.mark.parametrize("ids", [[0, 40_000, 65_534], [0, 70_000, 3_000_000_000]])
def test_ids_in_the_upper_half_of_their_type_stay_positive(ids: list[int]) -> None:
    dtype = np.uint16 if max(ids) < 65_536 else np.uint32
    found = batch(torch.from_numpy(np.array(ids, dtype=dtype)), 2, 1, seed=0, step=0)
    assert found.tolist() == [ids]


@pytest.mark.parametrize("world", [1, 2])
def test_a_population_is_its_members(world: int) -> None:
    for seeds in ([1, 2, 3], [1, 2, 1], [4, 4, 4]):
        found = population_batch(COUNTING, 8, 6, seeds, step=5, rank=world - 1, world=world)
        alone: list[Tensor] = [batch(COUNTING, 8, 6, seed, 5, world - 1, world) for seed in seeds]
        assert torch.equal(found, torch.stack(alone))


def test_members_of_one_seed_share_memory() -> None:
    assert population_batch(COUNTING, 8, 6, [4, 4], step=5).stride(0) == 0


def test_a_text_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(RequestError, match=r"model\.context"):
        batch(COUNTING[:9], 9, 1, seed=0, step=0)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    for rank, world in ((0, 5), (2, 2), (-1, 2)):
        with pytest.raises(RequestError, match=r"train\.batch_size"):
            batch(COUNTING, 4, 12, seed=0, step=0, rank=rank, world=world)


def test_tokens_are_the_same_in_memory_and_mapped(
    config: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(config())
    loaded = open_tokens(prepared.train_dir)
    monkeypatch.setattr(stream, "IN_MEMORY_BYTES", 0)
    mapped = open_tokens(prepared.train_dir)
    assert loaded.dtype == mapped.dtype == torch.uint16
    assert torch.equal(loaded, mapped) and len(loaded) == prepared.manifest["splits"]["train"]["tokens"]
    assert torch.equal(batch(loaded, 8, 4, 0, 0), batch(mapped, 8, 4, 0, 0))


def test_torn_tokens_are_not_opened(config: Callable[..., DataConfig]) -> None:
    prepared = prepare(config())
    path = prepared.train_dir / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(WorkError, match=r"data\.corrupt"):
        open_tokens(prepared.train_dir)
