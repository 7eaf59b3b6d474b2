"""A real lab with fake workers: driver, ledger, engine, pool and processes are the campaign's own. May not: be imported
by a worker.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare.session import Lab, Settings
from foundry.execute.executor import Task
from foundry.execute.local import Pool
from foundry.ledger.weights import weights_folder
from tests.home import write_tiny

BASELINE, TRACK = Path("experiments/baseline.yaml"), "experiments/baseline.yaml"
TRAIN, JUDGE = "soak.trainer:train", "soak.trainer:judge"


class FakeWorkers:
    """An executor: the local one with those workers in place of Foundry's, forked from a process without torch."""

    def __init__(self, jobs: int) -> None:
        self._pool = pool = Pool(jobs, preload=("soak.trainer",))
        self.stop, self.poll, self.close = pool.stop, pool.poll, pool.close

    @property
    def busy(self) -> int:
        return self._pool.busy

    @property
    def free(self) -> int:
        return self._pool.free

    def submit(self, task: Task) -> None:
        fake = {"foundry.train.worker:main": TRAIN, "foundry.judge.worker:main": JUDGE}
        self._pool.submit(replace(task, target=fake[task.target]))


class FakeLab(Lab):
    """The real lab with fake workers, whose weights are no weights."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, runs_on=FakeWorkers(settings.jobs))
        self.engine._has_weights = has_weights  # pyright: ignore[reportPrivateUsage]


def has_weights(ask: Any) -> bool:
    return (weights_folder(ask.spec.id) / "fake.json").is_file()


def make_home(folder: Path, cache: Path) -> None:
    """A working directory with a tiny baseline on a text of a few lines; this process stands in it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["FOUNDRY_CACHE"] = os.environ["FOUNDRY_KEYS"] = str(cache)
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE"):
        os.environ.pop(name, None)
    text = folder / "text.txt"
    text.write_text("".join(f"line {i} of a text that nobody reads, {i * i % 97} and {i % 13}\n" for i in range(4000)))
    write_tiny(BASELINE, data__source=f"file:{text}")


def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of one test, which leaves no folder and no variable behind."""
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE", "FOUNDRY_CACHE", "FOUNDRY_KEYS"):
        monkeypatch.setenv(name, "")  # so that what make_home sets is undone
    monkeypatch.chdir(tmp_path)
    make_home(tmp_path / "home", tmp_path / "cache")
    return tmp_path / "home"


def run_fake(runs: int, jobs: int = 2, strategy: str = "evolve", told: Any = None) -> Any:
    """A campaign of about `runs` fake runs in the working directory; its document."""
    with FakeLab(Settings(jobs=jobs, device="cpu", judged_bytes=2048)) as lab:
        plan = CampaignPlan(Limits(runs=runs), strategy)
        return campaign(lab, BASELINE, plan, lambda *pair: None, told or (lambda event, state: None))
