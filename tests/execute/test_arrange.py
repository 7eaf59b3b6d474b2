"""The scheduler: measured arrangements are used, unlike runs stay apart, and the ledger can't tell the difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RunFailure
from foundry.execute import pack_populations
from foundry.execute.executor import Ended, Progress
from foundry.execute.pack_populations import MEASURE, TOGETHER, TRAIN, PopulationPacker, best_width, contradict
from foundry.execute.result import RunResult
from foundry.ledger.weights import run_folder
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.train import throughput, worker
from foundry.train.progress import LocalLine
from foundry.train.worker import unpack
from tests.home import small_lab

BASELINE = Path("experiments/baseline.yaml")


def payload(seed: int = 0, steps: int = 1000, **changes: Any) -> dict[str, Any]:
    recipe = Recipe.load(BASELINE).to_dict()
    for dotted, value in changes.items():
        section, _, field = dotted.partition("__")
        recipe[section] = {**recipe[section], field: value}
    common = {"vocab_size": 30, "train_dir": "t", "out": f"o{seed}", "device": "cpu", "threads": 1}
    return {"model": recipe["model"], "train": recipe["train"], "seed": seed, "steps": steps, **common}


def filled(jobs: int, *payloads: dict[str, Any], device: str = "cpu") -> PopulationPacker[int]:
    arranger: PopulationPacker[int] = PopulationPacker(jobs, device)
    for i, each in enumerate(payloads):
        arranger.put(i, f"run{i}", each)
    return arranger


def answer(arranger: PopulationPacker[int], orders: list[pack_populations.Order[int]], rates: dict[str, float]) -> None:
    for order in orders:
        assert order.target == MEASURE and arranger.parts(Ended(order.id, {"rates": rates})) == []


@pytest.fixture(autouse=True)
def own_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_CACHE", str(home / "cache"))


def test_runs_that_fit_into_the_processes_are_never_measured_nor_joined(home: Path) -> None:
    orders = filled(2, payload(0), payload(1)).orders()
    assert [order.target for order in orders] == [TRAIN] * 2


def test_a_runs_own_pace_has_it_measured_again_ever_more_seldom(home: Path) -> None:
    jobs = [payload(seed) for seed in range(8)]
    for time, contradicting in enumerate((1.6, 2.4, 3.5)):
        measuring = filled(2, *jobs)
        answer(measuring, measuring.orders(), {"1": 100.0, "4": 300.0})
        (pace,) = {order.pace for order in measuring.orders()}
        assert pace is not None and pace[1] == 300.0
        for factor in (1.0, 1.4 * 1.5**time, 1 / (1.4 * 1.5**time)):
            contradict(pace, {"steps": 300, "seconds": factor})
            assert [order.target for order in filled(2, *jobs).orders()] == [TOGETHER] * 2
        contradict(pace, {"steps": 300, "seconds": contradicting})
        assert {order.target for order in filled(2, *jobs).orders()} == {MEASURE}


def test_short_sweeps_are_not_measured(home: Path) -> None:
    orders = filled(2, *(payload(seed, steps=100) for seed in range(8))).orders()
    assert [order.target for order in orders] == [TRAIN] * 8


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [
        ({"1": 100.0, "4": 80.0}, [1] * 12),
        ({"1": 100.0, "4": 101.0, "6": 102.0}, [1] * 12),
        ({"1": 100.0, "4": 300.0, "6": 200.0}, [3] * 4),
        ({"1": 100.0, "4": 300.0, "6": 400.0}, [6] * 2),
    ],
)
def test_the_fastest_arrangement_is_used_balanced_over_the_processes(
    home: Path, rates: dict[str, float], sizes: list[int]
) -> None:
    jobs = [payload(seed) for seed in range(12)]
    arranger = filled(2, *jobs)
    measuring = arranger.orders()
    assert [order.payload["widths"] for order in measuring] == [[1, 4, 6]] * 2
    assert arranger.orders() == [], "they wait for the measurement"
    answer(arranger, measuring, rates)
    orders = arranger.orders()
    assert [len(order.items) for order in orders] == sizes
    assert sorted(item for order in orders for item in order.items) == list(range(12))
    for order in orders:
        if order.target == TOGETHER:
            assert unpack(order.payload) == [jobs[item] for item in order.items]
    again = filled(2, *jobs).orders()
    assert [len(order.items) for order in again] == sizes, "measured once"


def test_a_measurement_that_was_cut_short_by_few_runs_is_repeated_for_more(home: Path) -> None:
    few = filled(1, *(payload(seed) for seed in range(4)))
    answer(few, few.orders(), {"1": 100.0, "4": 300.0})
    many = filled(1, *(payload(seed) for seed in range(20)))
    (measuring,) = many.orders()
    assert measuring.payload["widths"] == [1, 4, 16, 20]


def test_a_measurement_that_fails_leaves_one_run_a_process(home: Path) -> None:
    arranger = filled(1, *(payload(seed) for seed in range(4)))
    (measuring,) = arranger.orders()
    assert arranger.parts(Ended(measuring.id, reason="oom")) == []
    assert [order.target for order in arranger.orders()] == [TRAIN] * 4


def test_runs_of_other_shapes_lengths_or_with_parts_that_train_alone_stay_apart(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        *(payload(seed, model__dropout=0.1) for seed in range(4)),
        payload(4, model__width=32),
        payload(5, train__batch_size=8),
        payload(6, steps=1001),
    ]
    alike = [payload(7), payload(8, train__grad_clip=0.5), payload(9, model__init_std=0.1)]
    arranger = filled(1, *others, *alike)
    first = arranger.orders()
    assert [order.items for order in first if order.target == TRAIN] == [(i,) for i in range(7)]
    answer(arranger, [order for order in first if order.target == MEASURE], {"1": 1.0, "3": 3.0})
    assert [order.items for order in arranger.orders()] == [(7, 8, 9)]


def test_events_of_a_population_are_its_members(home: Path) -> None:
    arranger = filled(1, *(payload(seed) for seed in range(3)))
    answer(arranger, arranger.orders(), {"1": 1.0, "3": 3.0})
    (order,) = arranger.orders()
    assert arranger.open == [order.id]
    told = Progress(order.id, {"step": 7, "losses": [1.0, None, 3.0]})
    assert [(item, own.facts["loss"]) for item, own in arranger.parts(told) if isinstance(own, Progress)] == [
        (0, 1.0),
        (1, None),
        (2, 3.0),
    ]
    done, failed = {"status": "done"}, {"status": "failed", "reason": "nan", "detail": "at step 8"}
    ends = arranger.parts(Ended(order.id, {"members": [done, failed, done]}))
    assert [(item, own.result, own.reason) for item, own in ends if isinstance(own, Ended)] == [
        (0, done, None),
        (1, None, "nan"),
        (2, done, None),
    ]
    assert arranger.open == [] and arranger.parts(told) == []


def test_a_population_that_the_machine_lost_is_lost_for_each_member(home: Path) -> None:
    arranger = filled(1, *(payload(seed) for seed in range(3)))
    answer(arranger, arranger.orders(), {"1": 1.0, "3": 3.0})
    (order,) = arranger.orders()
    ends = arranger.parts(Ended(order.id, reason="lost", detail="killed"))
    assert [(item, own.reason) for item, own in ends if isinstance(own, Ended)] == [(i, "lost") for i in range(3)]


def test_a_run_that_must_be_alone_is(home: Path) -> None:
    arranger = filled(1, *(payload(seed) for seed in range(3)))
    arranger.put(3, "run3", payload(3), alone=True)
    assert [order.items for order in arranger.orders() if order.target == TRAIN] == [(3,)]


def test_the_margin_is_for_runs_of_their_own() -> None:
    assert best_width({1: 100.0, 4: 102.0}, 4) == 1
    assert best_width({1: 100.0, 4: 104.0, 16: 500.0}, 4) == 4


def test_measuring_gives_a_rate_for_each_width_up_to_the_fall(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "WIDTH_SECONDS", 0.0)
    packed = worker.pack([payload(seed) for seed in range(4)])
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(throughput, "FALLEN", 0.0)
    rates = throughput.main({"jobs": packed, "widths": [1, 4]}, LocalLine(told.append))["rates"]
    assert rates.keys() == {"1", "4"} and min(rates.values()) > 0 and [fact["width"] for fact in told] == [1, 4]
    monkeypatch.setattr(throughput, "FALLEN", 1e9)
    assert throughput.main({"jobs": packed, "widths": [1, 4]}, LocalLine())["rates"].keys() == {"1"}


def trained(home: Path, monkeypatch: pytest.MonkeyPatch, width: int, *words: str) -> tuple[list[RunResult], list[str]]:
    """Five runs of the tiny recipe, each with its seed and its word, trained in populations of up to `width`; and the
    targets of the tasks that it took."""
    monkeypatch.setenv("FOUNDRY_RUNS", str(home / f"runs{width}"))
    monkeypatch.setattr(pack_populations, "WORTH_STEPS", {"cpu": 0})
    monkeypatch.setattr(pack_populations, "_recorded", lambda key: {1: 1.0, width: 2.0 if width > 1 else 1.0})
    monkeypatch.setattr(pack_populations, "_answers", lambda rates, most: True)
    targets: list[str] = []
    with small_lab() as lab:
        submit = lab.engine.executor.submit
        monkeypatch.setattr(
            lab.engine.executor, "submit", lambda task: (targets.append(task.target), submit(task)), raising=True
        )
        recipe = Recipe.load(BASELINE)
        recipes = [mutate(recipe, word)[0] for word in words] or [recipe] * 5
        asks = [(lab.spec(lab.arm_of(each), seed), lab.data(each)) for seed, each in enumerate(recipes)]
        results = lab.engine.gather(asks)
        for result in results:
            folder, done = run_folder(result.id), result.status == "done"
            assert lab.ledger.runs.get(result.id)["status"] == result.status
            assert (folder / "checkpoint" / "model.safetensors").exists() == done
            assert json.loads((folder / "status.json").read_text())["status"] == result.status
    return results, targets


def test_a_sweep_in_populations_scores_as_one_run_at_a_time_and_who_diverges_fails_by_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("lr:1e-3", "lr:2e-3", "lr:10+weight_decay:10", "lr:3e-3", "lr:4e-3")
    with monkeypatch.context() as patch:
        apart, alone = trained(home, patch, 1, *words)
    with monkeypatch.context() as patch:
        joined, together = trained(home, patch, 3, *words)
    assert alone.count(TRAIN) == 5 and together.count(TOGETHER) == 2 and together.count(TRAIN) == 0
    for one, other in zip(apart, joined, strict=True):
        assert (one.status, one.reason) == (other.status, other.reason)
        assert one.bpb == (pytest.approx(other.bpb, abs=1e-4) if other.bpb is not None else None)
    assert [result.reason for result in joined] == [None, None, "nan", None, None]


def test_a_population_that_fails_whole_is_trained_one_by_one_and_who_is_too_large_alone_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_populations, "TOGETHER", f"{__name__}:too_wide")
    monkeypatch.setattr(pack_populations, "TRAIN", f"{__name__}:too_wide_with_seed_2")
    joined, targets = trained(home, monkeypatch, 3)
    assert targets.count(pack_populations.TRAIN) == 5
    assert [result.reason for result in joined] == [None, None, "oom", None, None]


def too_wide(payload: dict[str, Any], line: Any) -> dict[str, Any]:
    raise RunFailure("oom", "too wide")


def too_wide_with_seed_2(payload: dict[str, Any], line: Any) -> dict[str, Any]:
    return too_wide(payload, line) if payload["seed"] == 2 else worker.main(payload, line)
