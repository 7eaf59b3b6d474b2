"""What a contestant's process can reach: token ids and nothing of what is to be predicted from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundry.core.errors import RunFailure
from foundry.data.prepared import Prepared
from foundry.judge import worker
from foundry.judge.score import Score
from foundry.judge.splice import make_plan, rounds_for
from foundry.judge.windows import cut_windows
from tests.judge import entrants


@pytest.fixture(autouse=True)
def workspace(monkeypatch: pytest.MonkeyPatch, admitted: None):
    torch.set_num_threads(1)
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(entrants.WORKSPACE))


def own_children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orphans that earlier tests left to this process are none of a test's children."""
    monkeypatch.setattr(f"{__name__}.STRANGERS", own_children())


STRANGERS: set[int] = set()


def children() -> list[int]:
    return sorted(own_children() - STRANGERS)


def memory_contains(pid: int, needle: bytes) -> bool:
    """Search all memory of a process that could hold data: everything readable that isn't a file's."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, access, _, _, inode = line.split()[:5]
            if "r" in access and (inode == "0" or "memfd" in line) and "[v" not in line:
                start, end = (int(address, 16) for address in where.split("-"))
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


class Onlooker(entrants.Line):
    """Does something at the judge's first word: contestants are there, and have been shown nothing."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look

    def tell(self, **facts: Any) -> None:
        if not self.told:
            self.look()
        super().tell(**facts)


def ids_that_occur_once() -> list[entrants.Text]:
    ids = np.random.default_rng(5).permutation(6000)
    return [entrants.Text(ids[1000 * i :][:41], 40) for i in range(6)]


KEPT: list[entrants.Text] = []
"""By the module: what is in a caller's variables is given up before a contestant runs."""


@pytest.mark.parametrize("judged_text_is_read", ["after the fork", "before the fork"])
def test_targets_are_in_no_contestants_memory_and_would_be_found_if_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged_text_is_read: str
):
    monkeypatch.setattr("random.Random.shuffle", lambda self, seats: None)  # then the last forks are asked last
    job = entrants.entrant(tmp_path, entrants.model_section(), vocab_size=6000)
    KEPT[:] = ids_that_occur_once() if judged_text_is_read == "before the fork" else []
    found: list[bool] = []

    def look() -> None:
        needle = ids_that_occur_once()[3].ids[1:33].tobytes()  # the targets of one window
        found.extend(memory_contains(pid, needle) for pid in children()[-2:])

    worker.judge(job, lambda: KEPT or ids_that_occur_once(), Onlooker(look))
    assert found == [bool(KEPT)] * 2


def test_a_contestant_holds_its_channel_and_no_other_file_or_shared_memory(tmp_path: Path):
    job = entrants.entrant(tmp_path, entrants.model_section())
    secret = open(tmp_path / "secret", "w+")  # noqa: SIM115
    files: list[list[str]] = []
    blocks: list[set[str]] = []

    def look() -> None:
        for pid in children():
            files.append(sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")))
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            blocks.append({line.split()[4] for line in lines if "memfd:contestant" in line})

    worker.judge(job, entrants.stretches, Onlooker(look))
    secret.close()
    assert len(files) >= 5
    for names, mapped in zip(files, blocks, strict=True):
        kinds = [name.partition(":")[0] for name in names]
        assert kinds == ["/dev/null"] * 3 + ["/memfd"] * 2 + ["pipe"] * 2  # mmap keeps a handle of its own
        assert len(set(names)) == 4
        assert len(mapped) == 1


def test_no_process_is_left_whatever_the_end(tmp_path: Path):
    worker.judge(entrants.entrant(tmp_path, entrants.model_section()), entrants.stretches, entrants.Line())
    for trick in ("future", "exits", "raises", "sleeps"):
        with pytest.raises(RunFailure):
            job = entrants.entrant(tmp_path, entrants.model_section(trick))
            worker.judge(job, entrants.stretches, entrants.Line(), call_seconds=0.3)
    assert children() == []


def test_no_sealed_process_is_shown_what_followed_a_cut_of_its_own():
    windows = cut_windows(ids_that_occur_once(), 16, 6000)
    for secret in range(20):
        plan = make_plan(windows, rounds_for(len(windows.lengths)), secret)
        for process in range(plan.sealed):
            shown = set(plan.texts[process].flatten().tolist())
            for window in np.flatnonzero(plan.home != process):
                kept, length = plan.kept[process, window], windows.lengths[window]
                assert 1 <= kept <= length
                assert not shown & set(windows.inputs[window, kept:length].tolist())


def test_each_window_has_one_home_and_is_its_own_text_up_to_every_cut():
    windows = cut_windows(entrants.stretches(9, 50), 16, entrants.VOCAB)
    plan = make_plan(windows, 3, secret=1)
    assert np.bincount(plan.home, minlength=4).min() >= len(plan.home) // 4
    for process in range(4):
        kept = np.arange(16) < plan.kept[process][:, None]
        assert np.array_equal(plan.texts[process][kept], windows.inputs[kept])
    home_lengths = plan.kept[plan.home, np.arange(len(plan.home))]
    assert np.array_equal(home_lengths, windows.lengths)


def test_a_suffix_never_begins_with_the_token_that_really_follows():
    windows = cut_windows(entrants.stretches(9, 50), 16, entrants.VOCAB)
    plan = make_plan(windows, 3, secret=2)
    for process, window in np.ndindex(4, len(plan.home)):
        kept = plan.kept[process, window]
        if kept < 16:
            assert plan.texts[process][window, kept] != windows.targets[window, kept - 1]


def test_every_position_with_a_successor_is_cut_at_some_time():
    windows = cut_windows(entrants.stretches(2, 16), 16, entrants.VOCAB)
    cuts = {int(plan.kept[plan.home[0] ^ 1, 0]) for plan in (make_plan(windows, 1, secret) for secret in range(300))}
    assert cuts == set(range(1, 16))


def test_few_windows_are_spliced_more_often_and_many_once():
    assert [rounds_for(windows) for windows in (2, 4, 100, 256, 512, 10_000)] == [1, 3, 4, 2, 1, 1]


@pytest.fixture
def payload(prepared: Prepared, tmp_path: Path) -> dict[str, Any]:
    job = entrants.entrant(tmp_path, entrants.model_section(), vocab_size=prepared.vocab_size)
    return {
        "model": job.model,
        "vocab_size": job.vocab_size,
        "checkpoint": str(job.checkpoint),
        "judge_dir": str(prepared.judge_dir),
        "split": "validation",
        "judged_bytes": 6000,
        "device": "cpu",
        "threads": 1,
    }


def test_a_checkpoint_is_judged_on_a_prepared_split(payload: dict[str, Any]):
    line = entrants.Line()
    result = worker.main(payload, line)
    assert 1500 < result["bytes"] <= 6000
    assert result["bpb"] > 1
    assert result["probes"]["cuts"] >= 200
    assert result["probes"]["quarantine"] == ""
    assert [facts["windows"] for facts in line.told] == sorted(facts["windows"] for facts in line.told)
    assert not worker.main({**payload, "reference_bpb": result["bpb"]}, line)["probes"]["quarantine"]
    assert worker.main({**payload, "reference_bpb": 100.0}, line)["probes"]["quarantine"]


def test_a_checkpoint_reached_through_a_link_is_not_judged(payload: dict[str, Any], tmp_path: Path):
    (tmp_path / "linked").symlink_to(payload["checkpoint"])
    with pytest.raises(RunFailure, match="checkpoint"):
        worker.main({**payload, "checkpoint": str(tmp_path / "linked")}, entrants.Line())


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_contestant_can_not_read_in_its_callers_what_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    if not forgotten:  # the control: what would be there
        monkeypatch.setattr("foundry.judge.model_server.forget", lambda frame: None)
    job = entrants.entrant(tmp_path, entrants.model_section("looks_up"))

    def judged() -> Score:
        split = "the split of a test"
        return worker.judge(job, lambda: entrants.stretches() if split else [], entrants.Line(), made_up=True)

    if forgotten:
        assert judged().bpb > 0
    else:
        with pytest.raises(RunFailure, match="seen"):
            judged()
