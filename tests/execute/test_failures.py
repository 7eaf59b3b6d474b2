"""Whose failure it is: the machine's is run again and booked as nobody's, a limit's is tried again under others."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import soak.lab
from foundry.compare.session import Settings
from foundry.core.errors import KILLED, LOST, BrokenCode, WorkError
from foundry.data.prepare import prepare, restored
from foundry.execute import linux, local, scheduler
from foundry.execute.executor import Ended
from foundry.execute.result import Limits, RunResult, check_scored
from foundry.execute.untrusted.flops_on_record import measure
from foundry.ledger import runs
from foundry.recipe import Recipe, costs
from soak.lab import BASELINE, FakeLab, make_home


@pytest.fixture
def here(home: Path, tmp_path: Path, cache: Path) -> Path:
    """A working directory whose runs are made by fake workers."""
    make_home(tmp_path, cache)
    return tmp_path


def lab(judged_bytes: int = 2048, jobs: int = 2, **limits: Any) -> FakeLab:
    return FakeLab(Settings(jobs=jobs, device="cpu", judged_bytes=judged_bytes, limits=Limits(**limits)))


def ask(bench: FakeLab, *seeds: int) -> list[RunResult]:
    arm = bench.arm_of(Recipe.load(BASELINE))
    return bench.gather([(arm, seed) for seed in seeds or (1,)])


def row(bench: FakeLab, seed: int = 1) -> dict[str, Any]:
    return bench.ledger.runs.get(bench.spec(bench.arm_of(Recipe.load(BASELINE)), seed).id)


def workers(monkeypatch: pytest.MonkeyPatch, train: str = "", judge: str = "") -> None:
    for name, target in (("TRAIN", train), ("JUDGE", judge)):
        if target:
            monkeypatch.setattr(soak.lab, name, f"pool_targets:{target}")


@pytest.mark.parametrize("stage", ["train", "judge"])
@pytest.mark.parametrize("how", ["kill_itself", "lose_a_file", "bus_error"])
def test_what_the_machine_keeps_losing_ends_the_command_and_is_booked_as_nobodys_failure(
    here: Path, monkeypatch: pytest.MonkeyPatch, how: str, stage: str
) -> None:
    with monkeypatch.context() as patch:
        workers(patch, **{stage: how})
        with lab() as bench, pytest.raises(WorkError, match=r"run\.lost.*3 times.*same command again") as caught:
            ask(bench)
    assert caught.value.exit_code == 1
    with lab() as bench:
        assert row(bench)["status"] == ("queued" if stage == "train" else "trained")
        assert ask(bench)[0].ok


def test_a_run_that_the_machine_lost_once_is_run_again_by_itself(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(monkeypatch, train="lose_a_file_once")
    with lab() as bench:
        assert ask(bench)[0].ok and row(bench)["attempts"] == 1


def test_a_run_that_the_kernel_kills_for_memory_whenever_it_runs_is_out_of_memory_and_ends_no_campaign(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = itertools.count()
    monkeypatch.setattr(local, "kills_for_memory", lambda: next(counted))
    workers(monkeypatch, train="kill_itself")
    with lab() as bench:
        assert ask(bench)[0].reason == "oom" and row(bench)["limits"] is not None


def test_a_crash_of_the_runs_own_is_booked_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(monkeypatch, train="raise_value_error")
    with lab() as bench:
        assert ask(bench)[0].reason == "crash" and row(bench)["status"] == "failed"


def test_data_that_the_cache_has_lost_is_made_again_and_is_another_where_the_text_is(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_CACHE", str(tmp_path / "own cache"))
    recipe = Recipe.load(BASELINE)
    first = prepare(recipe.data)
    (first.train_dir / "tokens.bin").unlink()
    assert restored(recipe.data, first) == first and (first.train_dir / "tokens.bin").exists()
    (first.judge_dir / "manifest.json").unlink()
    (here / "text.txt").write_text((here / "text.txt").read_text() + "another line of it\n" * 40)
    with pytest.raises(WorkError, match=r"data\.changed"):
        restored(recipe.data, first)


def ends(*reasons: str | None) -> Iterator[Ended]:
    return iter([Ended("", {"flops_per_token": 7} if reason is None else None, reason) for reason in reasons])


@pytest.mark.parametrize(
    ("reasons", "error", "left"),
    [
        ((LOST, KILLED, None), None, 0),
        ((LOST, LOST, LOST, None), WorkError, 1),
        ((KILLED, KILLED, KILLED, None), BrokenCode, 1),
        (("crash", None), BrokenCode, 1),
    ],
)
def test_a_measurement_that_the_machine_lost_is_not_the_candidates_broken_code(
    reasons: tuple[str | None, ...], error: type[Exception] | None, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "model_key", lambda recipe: "key")
    monkeypatch.setattr(costs, "_measured", {})
    kept: dict[str, Any] = {}
    ledger: Any = SimpleNamespace(
        setting=kept.get, keep_setting=kept.__setitem__, recipes=SimpleNamespace(put=lambda recipe: None)
    )
    guard: Any = SimpleNamespace(tier="landlock", check=lambda recipe: None, measuring=lambda *asked: {})
    recipe: Any = SimpleNamespace(name="mine", sources=lambda: {"model.norm": "a"}, model=SimpleNamespace(sealed=True))
    coming = ends(*reasons)
    if error is None:
        measure(recipe, 30, ledger, guard, Limits(), lambda *task: next(coming))
        assert costs.flops_per_token(recipe, 30) == 7
    else:
        with pytest.raises(error) as caught:
            measure(recipe, 30, ledger, guard, Limits(), lambda *task: next(coming))
        assert isinstance(caught.value, error) and isinstance(caught.value, BrokenCode) == (error is BrokenCode)
        assert not kept
    assert len(list(coming)) == left


def test_limits_are_part_of_a_failure_and_a_replay_says_that_it_is_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        workers(patch, train="ignore_everything")
        with lab(wall_seconds=0.3) as bench:
            assert ask(bench)[0].reason == "timeout" and "--retry" not in ask(bench)[0].detail
        with lab(wall_seconds=0.2) as bench:
            again = ask(bench)[0]
            assert again.stored and "--retry" in again.document.detail and row(bench)["attempts"] == 1
    with lab(wall_seconds=60.0) as bench:
        assert ask(bench)[0].ok and row(bench)["limits"] is None


@pytest.mark.parametrize(
    ("reason", "more", "helps"),
    [
        ("oom", {"memory_bytes": 11}, True),
        ("oom", {"wall_seconds": 99.0}, False),
        ("timeout", {"stall_seconds": 6.0}, True),
        ("timeout", {"wall_seconds": 99.0}, True),
        ("timeout", {"memory_bytes": 11}, False),
        ("nan", {"memory_bytes": 11, "wall_seconds": 99.0, "stall_seconds": 99.0}, False),
        ("oom", {}, False),
    ],
)
def test_only_a_limit_that_leaves_more_of_what_was_short_tries_again(
    reason: str, more: dict[str, Any], helps: bool
) -> None:
    before = {"wall_seconds": 10.0, "stall_seconds": 5.0, "memory_bytes": 10}
    assert replace(Limits(10.0, 5.0, 10), **more).leave_more(reason, before) is helps
    assert not replace(Limits(10.0, 5.0, 10), **more).leave_more(reason, None), "nobody knows what it was allowed"


def test_a_failure_to_judge_on_more_text_leaves_a_score_and_its_run_as_they_are(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab() as bench:
        scored = ask(bench)[0]
    with monkeypatch.context() as patch:
        workers(patch, judge="fail_nan")
        with lab(judged_bytes=1024) as bench:
            assert ask(bench)[0].reason == "nan"
            assert (row(bench)["status"], row(bench)["reason"]) == ("done", None)
    with lab() as bench:
        assert ask(bench)[0].bpb == scored.bpb
    with lab(judged_bytes=1024) as bench:
        assert ask(bench)[0].ok


def test_a_run_that_was_never_scored_and_cant_be_judged_has_failed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(monkeypatch, judge="fail_nan")
    with lab() as bench:
        ask(bench)
        assert (row(bench)["status"], row(bench)["reason"]) == ("failed", "nan")


def test_a_sample_that_is_in_doubt_is_judged_in_full(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(monkeypatch, judge="doubt_a_sample")
    with lab() as bench:
        assert ask(bench)[0].bpb == 3.0


@pytest.mark.parametrize(
    ("groups", "limits", "least"),
    [
        ("0::/a/b", {"a/memory.max": "4096", "a/b/memory.max": "max"}, 4096),
        ("0::/a/b", {"a/memory.max": "8192", "a/b/memory.max": "4096", "c/memory.max": "1"}, 4096),
        ("0::/seen/from/outside", {"memory.max": "4096"}, 4096),
        ("5:cpu:/x\n4:memory:/docker/1", {"memory/docker/1/memory.limit_in_bytes": "4096"}, 4096),
        ("4:memory:/docker/1\n0::/", {"memory/memory.limit_in_bytes": "4096"}, 4096),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/a", {"a/memory.max": "max"}, None),
        ("", {}, None),
    ],
)
def test_the_memory_to_share_is_what_control_groups_leave_of_the_machines(
    tmp_path: Path, groups: str, limits: dict[str, str], least: int | None
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in limits.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    machines = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert linux.memory_bytes(tmp_path / "proc", tmp_path / "groups") == (least or machines)
    assert linux.memory_bytes(tmp_path / "nowhere", tmp_path / "groups") == machines


def test_a_workers_share_is_of_what_there_is_to_use(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "memory_bytes", lambda: 1000)
    with lab(jobs=1) as bench:
        assert bench.engine.memory_bytes == 900


def test_memory_is_shared_by_what_can_run_at_once_and_not_by_jobs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_share", lambda workers: 1000 // workers)
    with lab(jobs=1000) as bench:
        arm = bench.arm_of(Recipe.load(BASELINE))
        for seed in (1, 2):
            bench.ask(arm, seed)
        assert bench.engine.memory_bytes == 500
    with lab(jobs=1) as bench:
        for seed in (3, 4):
            bench.ask(arm, seed)
        assert bench.engine.memory_bytes == 1000
    with lab(jobs=1000, memory_bytes=7) as bench:
        assert bench.engine.memory_bytes == 7


def test_a_baseline_without_any_score_is_an_error_that_says_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(monkeypatch, train="fail_nan")
    with lab() as bench:
        results = ask(bench, 1, 2)
    with pytest.raises(WorkError, match=r"run\.no_baseline.*nan: loss at step 3"):
        check_scored("baseline", results)
    check_scored("baseline", [replace(results[0], status="done", bpb=1.0), results[1]])


def test_a_clock_that_jumps_changes_nothing_that_is_decided(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab() as bench:
        plain = [(result.bpb, result.id) for result in ask(bench, 1, 2, 3)]
        order = [each["id"] for each in bench.ledger.runs.with_weights()]
    times = (1.7e9 + 3600 * (-1) ** i for i in itertools.count())
    monkeypatch.setattr(runs, "now", lambda: next(times))
    monkeypatch.setenv("FOUNDRY_RUNS", "runs of another clock")
    with lab() as bench:
        assert [(result.bpb, result.id) for result in ask(bench, 1, 2, 3)] == plain
        assert [each["id"] for each in bench.ledger.runs.with_weights()] == order
