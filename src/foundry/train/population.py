"""Runs of one shape as one program: a stacked model, and beside it each member's own way of training.

Members share what a forward pass and a batch are made of. All else is each one's own: seed, initialisation, loss,
optimizer, schedule, clipping, average. Neighbours that train alike form a lane; a lane is an ordinary training state
whose weights are views of the stack's, so that every optimizer works on a stack as it does alone.

Shapes: P members, G members of a lane, B batch, T context, V vocabulary. May not: read data, save, wait for the device.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from foundry.core.slot import PartConfig
from foundry.model import GPT, ModelConfig
from foundry.modules.loss import LossFunction
from foundry.modules.optimizer import Weight
from foundry.population import stack, unstack
from foundry.train.config import TrainConfig
from foundry.train.loop import Rules
from foundry.train.state import TrainState

INITIAL = frozenset({"init_std", "out_init", "head_init"})
"""Fields of the model that only say how its weights start."""
SHARED = frozenset({"batch_size", "accumulation", "precision"})
"""Fields of the training that all members have in common."""


def shape_of(model: ModelConfig, train: TrainConfig) -> dict[str, Any] | None:
    """What runs must have in common to be one population, as plain data; None for a run that trains alone.

    Alone are parts that declare `population = False`, models that are code of their own, and dropout: its masks are
    drawn for a whole batch at once, so a member's would depend on its neighbours.
    """
    parts = [part for section in (model, train) for _, part in section if isinstance(part, PartConfig)]
    if model.dropout or model.code or not all(part.population for part in parts):
        return None
    return {
        "model": model.model_dump(mode="json", exclude=set(INITIAL)),
        "train": train.model_dump(mode="json", include=set(SHARED)),
    }


@dataclass(frozen=True)
class Member:
    """Who is in the stack: a name for whoever asked, and the member's own configuration."""

    name: str
    model: ModelConfig
    train: TrainConfig
    seed: int


class Lane:
    """Members `start` to `start + count` of a stack, who train alike: one optimizer, schedule and average."""

    def __init__(self, model: GPT, config: TrainConfig, start: int, states: Sequence[TrainState]) -> None:
        self.config, self.start, self.count = config, start, len(states)
        members = slice(start, start + self.count)
        named = dict(model.named_parameters())
        self.views = [(tensor, nn.Parameter(tensor.detach()[members])) for tensor in named.values()]
        own = [Weight(name, view, model.roles[name]) for name, (_, view) in zip(named, self.views, strict=True)]
        optimizer = config.optimizer.build(own)
        optimizer.load_state_dict(_stacked([state.optimizer.state_dict() for state in states]))
        averages = [state.average for state in states if state.average is not None]
        average = {name: torch.stack([each[name] for each in averages]) for name in averages[0]} if averages else None
        weights = {weight.name: weight.tensor.detach() for weight in own}
        self.state = TrainState(model, optimizer, weights, average, config.ema, states[0].step)

    def lend_gradients(self) -> None:
        """Let the optimizer see this lane's part of the stack's gradients."""
        for tensor, view in self.views:
            view.grad = None if tensor.grad is None else tensor.grad[self.start : self.start + self.count]

    def alone(self, member: int, model: GPT) -> TrainState:
        """The lane's member number `member` as a state of its own, around `model`, which has its weights already."""
        state = TrainState.fresh(model, self.config)
        state.optimizer.load_state_dict(_sliced(self.state.optimizer.state_dict(), member))
        if self.state.average is not None:
            state.average = {name: tensor[member].clone() for name, tensor in self.state.average.items()}
        state.step = self.state.step
        return state


@dataclass(frozen=True)
class LaneOptimizers:
    """The lanes' optimizers as one."""

    model: GPT
    lanes: Sequence[Lane]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for lane in self.lanes for group in lane.state.optimizer.param_groups]

    def step(self) -> None:
        for lane in self.lanes:
            lane.lend_gradients()
            lane.state.optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.model.zero_grad(set_to_none)
        for lane in self.lanes:
            for _, view in lane.views:
                view.grad = None


class Population:
    """A `loop.Trainee` of P members, whose order is the population's choice: see `members`."""

    def __init__(self, members: Sequence[Member], model: GPT, lanes: Sequence[Lane], step: int) -> None:
        self.members, self.model, self.lanes, self.step = members, model, lanes, step
        self.optimizer = LaneOptimizers(model, lanes)

    @classmethod
    def of(cls, runs: Iterable[tuple[Member, TrainState]]) -> Self:
        """Runs of one shape, at one step and on one device, as one program; their states are copied.

        Raises ValueError when they can't be one.
        """
        ordered = sorted(runs, key=lambda run: _training_key(run[0].train))
        shapes = {json.dumps(shape_of(member.model, member.train), sort_keys=True) for member, _ in ordered}
        if len(shapes) != 1 or "null" in shapes:
            raise ValueError("members differ in shape, or train alone")
        if len({state.step for _, state in ordered}) != 1:
            raise ValueError("members are at different steps")
        model = stack([state.model for _, state in ordered])
        lanes = []
        for _, alike in itertools.groupby(enumerate(ordered), key=lambda item: _training_key(item[1][0].train)):
            placed = list(alike)
            start, (first, _) = placed[0]
            lanes.append(Lane(model, first.train, start, [state for _, (_, state) in placed]))
        return cls([member for member, _ in ordered], model, lanes, ordered[0][1].step)

    def advance(self) -> None:
        """Count a step in every lane, and average its weights in."""
        self.step += 1
        for lane in self.lanes:
            lane.state.advance()

    def alone(self, place: int) -> TrainState:
        """The member at `place` as a run of its own, copied."""
        lane = next(lane for lane in self.lanes if lane.start <= place < lane.start + lane.count)
        own = unstack(self.model, place)
        own.config = self.members[place].model
        return lane.alone(place - lane.start, own)

    def rules(self, steps: int) -> Rules:
        """What its steps go by. A member's rate is that of its first group."""
        first = self.members[0].train
        device = next(self.model.parameters()).device
        clips = [member.train.grad_clip or math.inf for member in self.members]
        lanes = [Rules.of(lane.config, lane.state.optimizer, steps) for lane in self.lanes]

        def rate(step: int) -> tuple[list[float], list[float]]:
            groups: list[float] = []
            shown: list[float] = []
            for lane, rules in zip(self.lanes, lanes, strict=True):
                rates, _ = rules.rate(step)
                groups += rates
                shown += [rates[0]] * lane.count
            return groups, shown

        return Rules(
            loss=_loss_of([member.train for member in self.members]),
            clip=torch.tensor(clips, device=device),
            accumulation=first.accumulation,
            precision=first.precision,
            rate=rate,
        )


def bucket(members: int) -> int:
    """The size that a population of so many live members shrinks to: few sizes, so that few programs are compiled."""
    return 1 << (members - 1).bit_length()


def _training_key(config: TrainConfig) -> str:
    """Equal for members of one lane; the loss comes first, so that equal losses are neighbours. Clipping is each
    member's own anyway."""
    own = config.model_dump(mode="json", exclude={*SHARED, "grad_clip"})
    return json.dumps([own.pop("loss"), own], sort_keys=True)


def _loss_of(configs: Sequence[TrainConfig]) -> LossFunction:
    """(logits [P, B, T, V], targets [P, B, T]) → [P]: a member by its own loss, neighbours with equal ones at once."""
    groups = [(config, len(list(equal))) for config, equal in itertools.groupby(config.loss for config in configs)]
    losses: list[Callable[[Tensor, Tensor], Tensor]] = [config.build() for config, _ in groups]
    if len(losses) == 1:
        return losses[0]
    sizes = [size for _, size in groups]

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        # one split: its derivative is one cat, where that of each slice would be as large as all logits
        pairs = zip(losses, logits.split(sizes), targets.split(sizes), strict=True)
        return torch.cat([own(part, wanted) for own, part, wanted in pairs])

    return loss


def _stacked(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Optimizers' state_dicts as one of their stack: tensors get a leading G, single numbers (steps) are equal."""

    def joined(weight: int, name: str, value: Any) -> Any:
        return torch.stack([state["state"][weight][name] for state in states]) if value.ndim else value.clone()

    return _mapped(states[0], joined)


def _sliced(state: dict[str, Any], member: int) -> dict[str, Any]:
    """The inverse, for one member."""
    return _mapped(state, lambda weight, name, value: (value[member] if value.ndim else value).clone())


def _mapped(state: dict[str, Any], change: Callable[[int, str, Tensor], Tensor]) -> dict[str, Any]:
    """A state_dict with every tensor of its weights' state changed."""
    changed = {
        weight: {
            name: change(weight, name, value) if isinstance(value, Tensor) else value for name, value in kept.items()
        }
        for weight, kept in state["state"].items()
    }
    return {**state, "state": changed}
