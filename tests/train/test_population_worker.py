"""A population as the pool runs it: every member ends as an ordinary run would, whatever becomes of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.core.errors import RequestError, RunFailure
from foundry.train import callbacks, checkpoint, worker
from foundry.train.callbacks import STOP
from foundry.train.population import Population
from foundry.train.progress import LocalLine
from foundry.train.worker import pack, unpack

Payload = dict[str, Any]
STEPS = 16


@pytest.fixture
def jobs(payload: Payload, tmp_path: Path) -> list[Payload]:
    """Five runs of one shape that differ in seed, rate, optimizer and loss; an average, two micro-batches."""

    def job(name: str, **train: Any) -> Payload:
        own = {**payload["train"], **train}
        return {
            **payload,
            "model": {**payload["model"], "dropout": 0.0},
            "train": own,
            "seed": len(name),
            "steps": STEPS,
            "out": str(tmp_path / name),
        }

    return [
        job("a"),
        job("bb", optimizer={"kind": "adamw", "lr": 0.003}),
        job("ccc", loss={"kind": "label_smoothing", "smoothing": 0.2}),
        job("dddd", optimizer={"kind": "lion", "lr": 0.001}, ema=0.0),
        job("eeeee"),
    ]


def stopping_at(step: int) -> LocalLine:
    line = LocalLine(lambda facts: line.stop() if facts["step"] == step else None)
    return line


def weights(job: Payload) -> dict[str, torch.Tensor]:
    return checkpoint.load_weights(Path(job["out"]) / "checkpoint")


def assert_as_alone(jobs: list[Payload], tmp_path: Path) -> None:
    """Each run's weights and metrics are those of the same run trained by itself."""
    for job in jobs:
        single = {**job, "out": str(tmp_path / "alone" / Path(job["out"]).name)}
        worker.main(single, LocalLine())
        expected, got = weights(single), weights(job)
        for name, tensor in expected.items():
            torch.testing.assert_close(got[name], tensor, atol=2e-4, rtol=2e-4)
        for line, other in zip(metrics(job), metrics(single), strict=True):
            assert line["step"] == other["step"] and line["lr"] == pytest.approx(other["lr"])
            assert line["loss"] == pytest.approx(other["loss"], abs=1e-4)


def metrics(job: Payload) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(job["out"]) / "metrics.jsonl").read_text().splitlines()]


def test_members_leave_what_runs_leave(jobs: list[Payload], tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    results = worker.together(pack(jobs), LocalLine(told.append))["members"]
    assert [result["status"] for result in results] == ["done"] * len(jobs)
    assert all(result["tokens"] == STEPS * 4 * 16 and result["train_loss"] > 0 for result in results)
    assert told[-1]["step"] == STEPS and len(told[-1]["losses"]) == len(jobs)
    assert_as_alone(jobs, tmp_path)
    assert not any((Path(job["out"]) / "checkpoint" / checkpoint.OPTIMIZER).exists() for job in jobs)


def test_a_member_whose_loss_breaks_fails_alone(
    jobs: list[Payload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Population.advance

    def advance(population: Population) -> None:
        right(population)
        names = [member.name for member in population.members]
        if population.step == 5 and str(tmp_path / "ccc") in names:
            with torch.no_grad():
                next(population.model.parameters())[names.index(str(tmp_path / "ccc"))].fill_(torch.nan)

    monkeypatch.setattr(Population, "advance", advance)
    monkeypatch.setattr(callbacks, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(worker, "bucket", lambda members: members)  # drop it at once
    results = worker.together(pack(jobs), LocalLine())["members"]
    assert [result["status"] for result in results] == ["done", "done", "failed", "done", "done"]
    assert results[2]["reason"] == "nan" and "step 6" in results[2]["detail"]
    monkeypatch.setattr(Population, "advance", right)
    assert_as_alone([job for i, job in enumerate(jobs) if i != 2], tmp_path)


def test_a_stopped_population_goes_on_where_it_was_each_member_in_any_company(
    jobs: list[Payload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "LOOK_SECONDS", 0.0)
    results = worker.together(pack(jobs), stopping_at(11))["members"]
    assert {(result["status"], result["steps"]) for result in results} == {("interrupted", 11)}
    assert worker.main(jobs[0], LocalLine())["status"] == "done"
    rest = worker.together(pack([jobs[4], jobs[2], jobs[3], jobs[1]]), LocalLine())["members"]
    assert all(result["status"] == "done" and result["steps"] == STEPS for result in rest)
    assert_as_alone(jobs, tmp_path)


def test_a_member_that_is_asked_to_stop_saves_and_leaves_the_others_alone(
    jobs: list[Payload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "LOOK_SECONDS", 0.0)
    line = LocalLine(lambda facts: (Path(jobs[1]["out"]) / STOP).touch() if facts["step"] == 7 else None)
    results = worker.together(pack(jobs), line)["members"]
    assert [result["status"] for result in results] == ["done", "interrupted", "done", "done", "done"]
    assert results[1]["steps"] == 8
    assert worker.main(jobs[1], LocalLine())["status"] == "done"
    assert_as_alone(jobs, tmp_path)


def test_members_that_were_interrupted_at_different_steps_still_all_finish(
    jobs: list[Payload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "LOOK_SECONDS", 0.0)
    for some, until in ((jobs[:2], 4), (jobs[2:4], 9)):
        worker.together(pack(some), stopping_at(until))
    results = worker.together(pack(jobs), LocalLine())["members"]
    assert all(result["status"] == "done" for result in results)
    assert_as_alone(jobs, tmp_path)


@pytest.mark.parametrize(
    "change", [{"steps": 31}, {"model": {"width": 32}}, {"model": {"dropout": 0.1}}, {"train": {"batch_size": 8}}]
)
def test_runs_that_are_not_alike_are_refused(jobs: list[Payload], change: dict[str, Any]) -> None:
    other = {key: {**jobs[1][key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    with pytest.raises(RequestError, match="shape"):
        worker.together(pack([jobs[0], {**jobs[1], **other}]), LocalLine())


def test_what_fails_all_is_a_failure_of_the_population(jobs: list[Payload], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Population, "rules", lambda self, steps: torch.empty(2**55))
    with pytest.raises(RunFailure) as caught:
        worker.together(pack(jobs), LocalLine())
    assert caught.value.reason == "oom"


def test_packing_is_small_and_loses_nothing(jobs: list[Payload]) -> None:
    many = [*jobs, *({**jobs[0], "seed": seed} for seed in range(100))]
    assert unpack(json.loads(json.dumps(pack(many)))) == many
    assert len(json.dumps(pack(many))) < 6000 < len(json.dumps(many)) / 5
