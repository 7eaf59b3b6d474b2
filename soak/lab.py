"""A real lab with fake workers: driver, ledger, engine, pool and processes are the campaign's own. May not: be imported
by a worker.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare.session import Lab, Settings
from foundry.execute.local import Pool
from foundry.ledger.weights import weights_folder
from tests.home import write_tiny

BASELINE, TRACK = Path("experiments/baseline.yaml"), "experiments/baseline.yaml"
TRAIN, JUDGE = "soak.trainer:train", "soak.trainer:judge"


class FakeLab(Lab):
    """The real lab, its engine's workers being those above, forked from a warm process without torch."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        engine: Any = self.engine
        give = engine._give

        def faked(id: str, target: str, payload: dict[str, Any], log: Path, *asks: Any) -> None:
            if engine._pool is None:
                engine._pool = Pool(engine.jobs, preload=("soak.trainer",))
            give(id, JUDGE if target.startswith("foundry.judge") else target, payload, log, *asks)

        def submit_train(ask: Any) -> None:
            payload = engine.train_payload(ask.spec, ask.data)
            faked(f"{ask.spec.id}/{ask.split}", TRAIN, payload, Path(payload["out"]) / "log.txt", ask)

        engine._give, engine._submit_train, engine._has_weights = faked, submit_train, has_weights


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
