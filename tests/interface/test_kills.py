"""Kills, hangs and races of the whole program, as its user meets them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from tests import schema
from tests.home import write_tiny
from tests.interface.test_commands import SMALL, document, run, start


def test_ctrl_c_saves_and_the_same_command_ends_with_the_uninterrupted_result(home: Path) -> None:
    write_tiny(Path("experiments/long.yaml"), budget__tokens=64 * 4000)
    process = start("-m", "foundry", "train", "experiments/long.yaml", *SMALL)
    deadline = time.monotonic() + 120
    while not any(Path("runs").glob("*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err and "Traceback" not in err
    [folder] = Path("runs").glob("*/checkpoint")
    stopped_at = json.loads((folder.parent / "status.json").read_text())["steps"]
    assert 0 < stopped_at < 4000
    resumed = document("train", "experiments/long.yaml", "--resume", *SMALL)
    straight = document("train", "experiments/long.yaml", "--fresh", *SMALL)
    assert (resumed["val_bpb"], resumed["train_loss"]) == (straight["val_bpb"], straight["train_loss"])


def test_a_killed_sweep_goes_on_where_it_was_and_trains_nothing_twice(home: Path) -> None:
    write_tiny(Path("experiments/baseline.yaml"), train__optimizer__lr=1e-5, budget__tokens=64 * 60)
    command = ("-m", "foundry", "sweep", "lr:1e-2", "norm:rmsnorm", "--promote", "--jobs", "2", *SMALL)
    finished: dict[str, int] = {}
    for kill_after_runs in (2, 12):
        process = start(*command)
        deadline = time.monotonic() + 120
        while process.poll() is None and done_runs(finished) < kill_after_runs and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.communicate()
        done_runs(finished)
    code, out, err = run(*command)
    assert code == 0, err
    assert "Promoted: lr:1e-2" in out
    with Ledger.open() as ledger:
        for run_id, attempts in finished.items():
            assert ledger.runs.get(run_id)["attempts"] == attempts, "a finished run was trained again"
        assert [entry["kind"] for entry in ledger.promotions.lineage("experiments/baseline.yaml")] == [
            "adopt",
            "promote",
        ]
        assert ledger.budget.open_tests() == []
        assert ledger.budget.history(1).tests == 1
    assert queries.log(status="running") == []


def done_runs(finished: dict[str, int]) -> int:
    """Runs that are finished by now, noted with their attempts."""
    if Path("runs/ledger.db").exists():
        for row in queries.log(limit=500, status="done"):
            finished.setdefault(row["run"], row["attempts"])
    return len(finished)


def test_two_sweeps_at_once_share_the_work_and_promote_once(home: Path) -> None:
    write_tiny(Path("experiments/baseline.yaml"), train__optimizer__lr=1e-5, budget__tokens=64 * 40)
    command = ("-m", "foundry", "sweep", "lr:1e-2", "--promote", "--seeds", "1", "--jobs", "1", *SMALL)
    both = [start(*command) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1]), outputs
    assert all("Traceback" not in err for _, err in outputs), outputs
    rows = queries.log(limit=500)
    assert {row["status"] for row in rows} == {"done"} and {row["attempts"] for row in rows} == {1}
    assert [entry["kind"] for entry in document("lineage")["promotions"]] == ["adopt", "promote"]


def test_one_candidate_that_crashes_hangs_or_diverges_ends_alone_with_its_reason(home: Path) -> None:
    folder = home / "workspace" / "modules" / "norm"
    folder.mkdir(parents=True)
    for name, line in (
        ("boom", "raise RuntimeError('boom')"),
        ("hang", "time.sleep(600)"),
        ("nans", "x = x * math.nan"),
    ):
        (folder / f"{name}.py").write_text(BROKEN.format(line=line))
    names = ("boom", "hang", "nans", "rmsnorm")
    swept = document("sweep", "norm", *names, "--seeds", "1", "--stall-seconds", "6", "--jobs", "2", *SMALL)
    reasons = {row["mutation"]: (row["status"], row["reason"]) for row in swept["candidates"]}
    assert reasons == {
        "norm:boom": ("failed", "crash"),
        "norm:hang": ("failed", "timeout"),
        "norm:nans": ("failed", "nan"),
        "norm:rmsnorm": ("done", None),
    }
    assert "boom" in schema.text(next(row["detail"] for row in swept["candidates"] if row["mutation"] == "norm:boom"))


BROKEN = '''"""A norm that fails when it is trained."""

import math
import time

from torch import nn

from foundry.modules.norm import NormConfig


class Broken(nn.Module):
    def forward(self, x):
        if x.device.type != "meta":
            {line}
        return x


class Config(NormConfig):
    def build(self, width):
        return Broken()

    def build_qk(self, head_dim):
        return None
'''
