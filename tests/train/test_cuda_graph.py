"""Recorded steps: the same training, from memory that stays in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import pytest
import torch

from foundry.core.section import validate
from foundry.model import GPT, initialise
from foundry.modules import optimizer
from foundry.train import cuda_graph
from foundry.train.cuda_graph import Recorded, Results
from foundry.train.loop import Compute, train
from foundry.train.program import Job
from foundry.train.state import TrainState

VOCAB, STEPS = 11, 8


@final
class Tape:
    """A recorder for the CPU: replays by calling again, into the tensors of the recording. Counts what it is asked."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses, self.lives, self.records, self.replays = refuses, 0, 0, 0

    def live(self, function: Callable[[], Results]) -> Results:
        self.lives += 1
        return function()

    def record(self, function: Callable[[], Results]) -> Results:
        if self.refuses:
            raise RuntimeError("operation not permitted while recording")
        self.records += 1
        self.function, self.results = function, (torch.zeros(()), torch.zeros(()))
        self.groups = [dict(group) for group in self.optimizer.param_groups]
        return self.results

    def replay(self) -> None:
        self.replays += 1
        now = [dict(group) for group in self.optimizer.param_groups]
        for group, then in zip(self.optimizer.param_groups, self.groups, strict=True):
            group |= {"lr": then["lr"], "capturable": then["capturable"]}
        for kept, new in zip(self.results, self.function(), strict=True):
            kept.copy_(new)
        for group, before in zip(self.optimizer.param_groups, now, strict=True):
            group |= {"lr": before["lr"], "capturable": before["capturable"]}

    optimizer: torch.optim.Optimizer


def losses(payload: dict[str, Any], tape: Tape | None, said: list[str]) -> list[float]:
    plain = {**payload, "model": {**payload["model"], "dropout": 0.0}, "train": {**payload["train"], "ema": 0.0}}
    job = validate(Job, plain)
    model = GPT(job.model, VOCAB)
    initialise(model, 0)
    state = TrainState.fresh(model, job.train)

    def recorded(compute: Compute) -> Compute:
        if tape is None:
            return compute
        tape.optimizer = state.optimizer
        return Recorded(compute, state.optimizer, tape, live_steps=2, say=said.append)

    def batch_at(step: int) -> torch.Tensor:
        return torch.randint(VOCAB, (4, 17), generator=torch.Generator().manual_seed(step))

    facts = list(train(state, model, batch_at, job.train, seed=0, steps=STEPS, recorded=recorded))
    return [float(fact.loss) for fact in facts] + [float(facts[-1].grad_norm)]


def test_replayed_steps_follow_batches_and_schedule_as_live_ones_do(payload: dict[str, Any]) -> None:
    tape, said = Tape(), list[str]()
    assert losses(payload, tape, said) == pytest.approx(losses(payload, None, said), abs=1e-6)
    assert (tape.lives, tape.records, tape.replays) == (2, 1, STEPS - 2) and not said


def test_where_recording_is_refused_steps_are_played_live(payload: dict[str, Any]) -> None:
    tape, said = Tape(refuses=True), list[str]()
    assert losses(payload, tape, said) == losses(payload, None, said)
    assert tape.replays == 0 and "not recorded" in said[0]


def test_steps_that_keep_the_device_busy_are_not_recorded(
    payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graph, "CLOCKED_STEPS", 2)
    monkeypatch.setattr(cuda_graph, "WORTH_SECONDS", 0.0)
    tape, said = Tape(), list[str]()
    assert losses(payload, tape, said) == losses(payload, None, said)
    assert tape.records == tape.replays == 0 and not said


@pytest.mark.parametrize("kind", ["muon", "lion"])
def test_our_optimizers_read_no_rate_on_the_host(kind: str) -> None:
    """On the meta device there is nothing to read back: whoever asks for a number raises."""
    weight = torch.nn.Parameter(torch.empty(4, 8, device="meta"))
    config: Any = optimizer.SLOT.parse({"kind": kind, "lr": 0.1, "weight_decay": 0.1})
    own = config.build([optimizer.Weight("w", weight, "matrix")])
    for cautious in (False, True):
        weight.grad = torch.empty_like(weight)
        for group in own.param_groups:
            group |= {"lr": torch.empty((), device="meta"), "cautious": cautious}
        own.step()


def test_a_recording_that_kept_its_rates_would_be_noticed(
    payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tape, said = Tape(), list[str]()
    frozen = torch.tensor([1e-4, 1e-4])
    monkeypatch.setattr(Recorded, "_current_rates", lambda self: frozen[: len(self.optimizer.param_groups)])
    assert losses(payload, tape, said) != pytest.approx(losses(payload, None, said), abs=1e-3)
