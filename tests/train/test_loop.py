"""The loop's arithmetic: schedule, accumulation, clipping, averages, members of a population, no waiting."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundry.core.section import validate
from foundry.model import GPT, initialise
from foundry.train import loop
from foundry.train.config import TrainConfig
from foundry.train.loop import StepInfo, clip_gradients, train
from foundry.train.program import Job
from foundry.train.state import TrainState

VOCAB, STEPS = 11, 6
Make = Callable[..., tuple[TrainState, TrainConfig]]


@pytest.fixture
def make(payload: dict[str, Any]) -> Make:
    def of(seed: int = 0, dropout: float = 0.0, place: str = "cpu", **train_fields: Any) -> tuple[TrainState, Any]:
        plain = copy.deepcopy(payload)
        plain["model"]["dropout"] = dropout
        plain["train"] = {**plain["train"], "accumulation": 1, "ema": 0.0, **train_fields}
        job = validate(Job, plain)
        with torch.device(place):
            model = GPT(job.model, VOCAB)
        initialise(model, seed)
        return TrainState.fresh(model, job.train), job.train

    return of


def batch_at(step: int) -> Tensor:
    return torch.randint(VOCAB, (4, 17), generator=torch.Generator().manual_seed(step))


def facts_of(state: TrainState, config: TrainConfig, steps: int = STEPS, **options: Any) -> list[StepInfo]:
    return list(train(state, state.model, options.pop("batch_at", batch_at), config, seed=0, steps=steps, **options))


def losses_of(state: TrainState, config: TrainConfig, **options: Any) -> Tensor:
    return torch.stack([fact.loss for fact in facts_of(state, config, **options)])


def test_micro_batches_add_up_to_the_whole_batch(make: Make) -> None:
    whole = losses_of(*make())
    torch.testing.assert_close(losses_of(*make(accumulation=4)), whole, atol=2e-6, rtol=2e-6)
    assert not torch.equal(losses_of(*make(seed=1)), whole)


def test_every_group_follows_the_schedule(make: Make) -> None:
    state, config = make()
    peaks = [group["peak_lr"] for group in state.optimizer.param_groups]
    for step, fact in enumerate(train(state, state.model, batch_at, config, seed=0, steps=STEPS)):
        share = config.schedule.share(step, STEPS)
        assert [group["lr"] for group in state.optimizer.param_groups] == [peak * share for peak in peaks]
        assert (fact.step, fact.lr) == (step + 1, peaks[0] * share) and state.step == fact.step


def test_dropout_is_a_pure_function_of_seed_step_and_rank(make: Make) -> None:
    first = losses_of(*make(dropout=0.3))
    torch.manual_seed(77)
    assert torch.equal(losses_of(*make(dropout=0.3)), first)
    assert not torch.equal(losses_of(*make(dropout=0.3), rank=1), first)


def test_the_average_is_the_weighted_mean_of_the_weights_after_each_step(make: Make) -> None:
    state, config = make(ema=0.8)
    seen = [
        state.weights["embedding.weight"].clone() for _ in train(state, state.model, batch_at, config, seed=0, steps=5)
    ]
    shares = torch.tensor([0.8 ** (5 - i) for i in range(1, 6)])
    expected = torch.einsum("n,nvd->vd", shares / shares.sum(), torch.stack(seen))
    assert state.average is not None
    torch.testing.assert_close(state.judged()["embedding.weight"], expected)


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_clipping_is_torchs(limit: float) -> None:
    ours = [nn.Parameter(torch.zeros(shape)) for shape in [(3, 4), (5,), ()]]
    for parameter in ours:
        parameter.grad = torch.randn_like(parameter)
    theirs = copy.deepcopy(ours)
    for copied, parameter in zip(theirs, ours, strict=True):
        copied.grad = parameter.grad.clone() if parameter.grad is not None else None
    norm = clip_gradients(ours, limit, members=False)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, limit))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def stacked(states: list[TrainState], config: TrainConfig) -> TrainState:
    """One model whose every parameter is the stack of theirs."""
    model = copy.deepcopy(states[0].model)
    own = dict(model.named_parameters())
    for each in own:
        together = nn.Parameter(torch.stack([state.weights[each] for state in states]))
        for module in model.modules():  # everywhere that a tied parameter is used
            for name, tensor in module.named_parameters(recurse=False):
                if tensor is own[each]:
                    setattr(module, name, together)
    return TrainState.fresh(model, config)


def population_losses(make: Make) -> tuple[Tensor, Tensor]:
    """[steps, P]: of three runs one after the other, and of the same three as one program, hard clipped."""
    runs = [make(seed=seed, grad_clip=0.05, ema=0.9) for seed in range(3)]
    config = runs[0][1]
    together = stacked([state for state, _ in runs], config)
    alone = torch.stack([losses_of(state, config) for state, _ in runs], dim=1)
    return alone, losses_of(together, config)


def test_each_member_of_a_population_trains_as_if_it_were_alone(make: Make) -> None:
    alone, together = population_losses(make)
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=2e-5)


def test_clipping_members_together_would_be_noticed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "clip_gradients", lambda p, limit, members: clip_gradients(p, limit, members=False))
    alone, together = population_losses(make)
    assert (together - alone).abs().max() > 1e-3


def test_members_may_have_limits_of_their_own() -> None:
    parameter = nn.Parameter(torch.zeros(3, 4))
    parameter.grad = torch.ones(3, 4)
    norm = clip_gradients([parameter], torch.tensor([1.0, torch.inf, 0.5]), members=True)
    torch.testing.assert_close(norm, torch.full((3,), 2.0))
    torch.testing.assert_close(parameter.grad[:, 0], torch.tensor([0.5, 1.0, 0.25]))


def test_the_loop_never_waits_for_the_device(make: Make) -> None:
    """On the meta device there is nothing to read back: whoever asks for a number raises."""
    state, config = make(place="meta", accumulation=2, ema=0.9, optimizer={"kind": "adamw", "lr": 0.1})
    state.optimizer = torch.optim.SGD(state.model.parameters(), lr=0.1)
    state.optimizer.param_groups[0]["peak_lr"] = 0.1
    (fact, *_) = facts_of(state, config, batch_at=lambda step: torch.zeros(4, 17, dtype=torch.int64, device="meta"))
    with pytest.raises(RuntimeError):
        fact.loss.item()


def test_half_precision_leaves_weights_in_full(make: Make) -> None:
    half, full = losses_of(*make(precision="bf16")), losses_of(*make())
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, atol=0.05, rtol=0.05)
    assert all(weight.dtype == torch.float32 for weight in make(precision="bf16")[0].weights.values())
