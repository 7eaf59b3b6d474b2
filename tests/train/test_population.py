"""A population trains each member as if it were alone, whatever its neighbours are or become."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from foundry.core.section import validate
from foundry.model import GPT, initialise
from foundry.train import population as population_file
from foundry.train.loop import Rules, train
from foundry.train.population import Lane, Member, Population, bucket, shape_of
from foundry.train.program import Job
from foundry.train.state import TrainState

VOCAB, STEPS = 11, 8
Make = Callable[..., tuple[Member, TrainState]]
ADAM = {"kind": "adamw", "lr": 0.01}

OWN_WAYS: list[dict[str, Any]] = [
    {},
    {"optimizer": {"kind": "adamw", "lr": 0.003, "betas": [0.8, 0.99], "weight_decay": 0.0}},
    {"grad_clip": 0.05},
    {"schedule": {"kind": "linear", "warmup": 0.5}, "ema": 0.9},
    {"loss": {"kind": "label_smoothing", "smoothing": 0.2}},
    {"loss": {"kind": "label_smoothing", "smoothing": 0.4}},
    {"loss": {"kind": "focal"}, "optimizer": {"kind": "lion", "lr": 0.001}},
    {"optimizer": {"kind": "muon", "lr": 0.02, "cautious": True, "weight_decay": 0.1}},
    {"optimizer": {"kind": "muon", "lr": 0.01, "momentum": 0.8}},
]


@pytest.fixture
def make(payload: dict[str, Any]) -> Make:
    def of(seed: int = 0, model: dict[str, Any] | None = None, **fields: Any) -> tuple[Member, TrainState]:
        plain = copy.deepcopy(payload)
        plain["model"] |= {"dropout": 0.0, **(model or {})}
        plain["train"] |= {"accumulation": 1, "ema": 0.0, "optimizer": ADAM, **fields}
        job = validate(Job, plain)
        own = GPT(job.model, VOCAB)
        initialise(own, seed)
        return Member(f"seed {seed}", job.model, job.train, seed), TrainState.fresh(own, job.train)

    return of


def batch_at(seed: int, step: int) -> Tensor:
    return torch.randint(VOCAB, (4, 17), generator=torch.Generator().manual_seed(1000 * seed + step))


def alone(run: tuple[Member, TrainState], steps: int = STEPS) -> list[float]:
    """The run's losses; its state moves on."""
    (member, state), seed = run, run[0].seed
    facts = train(state, state.model, lambda step: batch_at(seed, step), member.train, seed=0, steps=steps)
    return [float(fact.loss) for fact in facts]


def together(population: Population, until: int = STEPS, steps: int = STEPS) -> list[list[float]]:
    """Losses [steps, P] up to step `until` of `steps`."""
    seeds = [member.seed for member in population.members]
    rows = []
    for fact in train(
        population,
        population.model,
        lambda step: torch.stack([batch_at(seed, step) for seed in seeds]),
        population.rules(steps),
        seed=0,
        steps=steps,
    ):
        rows.append(fact.loss.tolist())
        if fact.step == until:
            break
    return rows


def gap(population: Population, runs: Iterable[tuple[Member, TrainState]]) -> float:
    """The largest difference of any judged weight between a member and its run alone."""
    states = {member.name: state for member, state in runs}
    gaps = []
    for place, member in enumerate(population.members):
        own, other = population.alone(place).judged(), states[member.name].judged()
        assert own.keys() == other.keys()
        gaps += [float((own[name] - other[name]).abs().max()) for name in own]
    return max(gaps)


def crowd(make: Make) -> list[tuple[Member, TrainState]]:
    return [make(seed=seed, **way) for seed, way in enumerate(OWN_WAYS)]


def test_members_that_differ_in_every_scalar_each_train_as_alone(make: Make) -> None:
    population, runs = Population.of(crowd(make)), crowd(make)
    losses = torch.tensor(together(population))
    expected = {run[0].name: alone(run) for run in runs}
    for place, member in enumerate(population.members):
        torch.testing.assert_close(losses[:, place], torch.tensor(expected[member.name]), atol=5e-5, rtol=5e-5)
    assert gap(population, runs) < 3e-4


def test_members_that_train_alike_share_a_lane_and_each_trains_as_alone(make: Make) -> None:
    def fresh() -> list[tuple[Member, TrainState]]:
        return [make(seed=seed, ema=0.8) for seed in range(4)]

    population, runs = Population.of(fresh()), fresh()
    together(population)
    for run in runs:
        alone(run)
    assert len(population.lanes) == 1 and gap(population, runs) < 1e-4


def test_initialisation_is_each_members_own(make: Make) -> None:
    wide, zero = make(seed=0, model={"init_std": 0.1}), make(seed=0, model={"out_init": "zero"})
    population = Population.of([wide, zero])
    assert population.alone(1).model.config.out_init == "zero"
    for place, (_, state) in enumerate((wide, zero)):
        assert all(torch.equal(own, state.weights[name]) for name, own in population.alone(place).weights.items())


@pytest.mark.parametrize("fault", ["clipping", "gradients", "loss"])
def test_mixing_members_would_be_noticed(make: Make, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The comparison above fails when neighbours leak into each other, in any of three ways."""
    original, rules = population_file._loss_of, Population.rules

    def shifted(lane: Lane) -> None:
        for tensor, view in lane.views:
            assert tensor.grad is not None
            view.grad = tensor.grad.roll(1, 0)[lane.start : lane.start + lane.count]

    def mixed(configs: Any) -> Any:
        right = original(configs)
        return lambda logits, targets: right(logits, targets.roll(1, 0))

    def one_limit(population: Population, steps: int) -> Rules:
        return replace(rules(population, steps), clip=0.01)

    if fault == "gradients":
        monkeypatch.setattr(Lane, "lend_gradients", shifted)
    if fault == "loss":
        monkeypatch.setattr(population_file, "_loss_of", mixed)
    if fault == "clipping":
        monkeypatch.setattr(Population, "rules", one_limit)
    population, runs = Population.of(crowd(make)), crowd(make)
    together(population)
    for run in runs:
        alone(run)
    assert gap(population, runs) > 2e-2


def test_a_member_that_breaks_touches_nobody_before_or_after_it_is_dropped(make: Make) -> None:
    runs, population = crowd(make), Population.of(crowd(make))
    together(population, until=3)
    with torch.no_grad():  # as if its loss had become NaN
        next(population.model.parameters())[2].fill_(torch.nan)
    rows = together(population, until=6)
    assert all(row[2] != row[2] for row in rows)
    population = Population.of((population.members[i], population.alone(i)) for i in range(len(OWN_WAYS)) if i != 2)
    together(population)
    for run in runs:
        alone(run)
    assert len(population.members) == len(OWN_WAYS) - 1 and population.step == STEPS
    assert gap(population, runs) < 3e-4


def test_a_member_taken_out_goes_on_alone_and_joins_again(make: Make) -> None:
    runs, population = crowd(make), Population.of(crowd(make))
    together(population, until=4)
    singles = [(member, population.alone(place)) for place, member in enumerate(population.members)]
    for single in singles:
        alone(single, STEPS)
    again = Population.of([(member, population.alone(place)) for place, member in enumerate(population.members)])
    together(again)
    for run in runs:
        alone(run)
    assert gap(again, singles) < 3e-4 and gap(again, runs) < 3e-4


@pytest.mark.parametrize(
    ("model", "fields"),
    [({"width": 32}, {}), ({"activation": "swiglu"}, {}), ({}, {"batch_size": 8}), ({"softcap": 15.0}, {})],
)
def test_runs_of_another_shape_are_refused(make: Make, model: dict[str, Any], fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shape"):
        Population.of([make(), make(1, model, **fields)])


def test_parts_that_declare_so_and_dropout_train_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    member, _ = make()
    assert shape_of(member.model, member.train) is not None
    assert shape_of(make(model={"dropout": 0.1})[0].model, member.train) is None
    monkeypatch.setattr(type(member.train.optimizer), "population", False)
    assert shape_of(member.model, member.train) is None


def test_a_population_shrinks_to_few_sizes() -> None:
    assert [bucket(n) for n in (1, 2, 3, 5, 8, 33)] == [1, 2, 4, 8, 8, 64]
