"""Weights & Biases: a folder for each run as its offline mode leaves it, for `wandb sync`; WANDB_MODE has it otherwise.

Until it was synced a run's folder is written anew as a whole, so nothing is doubled. After a sync, and online, it can't
tell what it holds: a kill there may send the last batch again, with the same steps.
"""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from foundry.interface.track.tracker import PROJECT, Point, Run

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
_wandb: Any = import_module("wandb")
LONGEST = 120
"""Characters of a run's name."""


class Exported:
    def __init__(self, into: Path) -> None:
        self.into = into

    def begin(self, run: Run) -> int | None:
        mode = os.environ.get("WANDB_MODE", "offline")
        earlier = list((self.into / "wandb").glob(f"offline-run-*-{run.run}"))
        fresh = mode == "offline" and not any(list(folder.glob("*.synced")) for folder in earlier)
        for folder in earlier if fresh else ():
            shutil.rmtree(folder)
        self.place = _wandb.init(
            project=PROJECT,
            id=run.run,
            name=run.name[:LONGEST],
            group=run.recipe,
            config=run.config,
            tags=list(run.tags),
            dir=str(self.into),
            mode=mode,
            resume=None if mode == "offline" else "allow",
            reinit="create_new",
            settings=_wandb.Settings(
                silent=True, console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True, save_code=False
            ),
        )
        return 0 if fresh else None

    def points(self, points: list[Point]) -> None:
        for point in points:
            self.place.log(point.values, step=point.step)

    def finish(self, run: Run) -> None:
        self.place.tags = run.tags
        for key, value in run.summary.items():
            self.place.summary[key] = value
        self.place.finish(exit_code=int(run.status == "failed"))
