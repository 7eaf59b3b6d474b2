"""trackio: its database in the folder, by its own storage. It can tell, and a line has an id that it keeps once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.interface.track.tracker import PROJECT, Point, Run

if find_spec("trackio") is None:
    raise ImportError("no trackio", name="trackio")


class Exported:
    def __init__(self, into: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(into)  # which it reads once, as it is imported
        utils: Any = import_module("trackio.utils")
        self.storage: Any = import_module("trackio.sqlite_storage").SQLiteStorage
        if Path(utils.TRACKIO_DIR) != into:
            message = f"trackio writes into {utils.TRACKIO_DIR} in this process"
            raise RequestError("track.other_folder", str(into), message, hint="use a process for each folder")

    def begin(self, run: Run) -> int:
        self.run, self.step = run, 0
        if self.storage.get_project_db_path(PROJECT).exists():
            self.step = self.storage.get_last_step(PROJECT, run.run, run.run) or 0
        return self.step

    def points(self, points: list[Point]) -> None:
        ids = [f"{self.run.run}-{point.step}" for point in points]
        self._log(
            [point.values for point in points],
            [point.step for point in points],
            ids,
            [point.seconds for point in points],
        )
        self.step = points[-1].step

    def finish(self, run: Run) -> None:
        """A config isn't taken without a line: that is the score's, or one that says there is none yet."""
        self.run = run
        scores = {key: run.summary[key] for key in ("val_bpb", "certification_bpb") if key in run.summary}
        line = scores or {"judged": 0}
        self._log([line], [self.step], [f"{run.run}-{sorted(line.items())}"], [float(run.summary.get("seconds", 0))])

    def _log(self, values: list[Any], steps: list[int], ids: list[str], seconds: list[float]) -> None:
        run = self.run
        began, *times = (datetime.fromtimestamp(run.started_unix + each, UTC).isoformat() for each in (0.0, *seconds))
        about = {"_Created": began, "_Group": run.recipe, "_Username": None, "name": run.name, "tags": list(run.tags)}
        summary = {f"summary/{key}": value for key, value in run.summary.items()}
        config = {**run.config, **summary, **about}
        self.storage.bulk_log(PROJECT, run.run, values, steps, times, config, ids, run_id=run.run)
