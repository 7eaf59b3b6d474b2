"""MLflow: a SQLite database in the folder, or the server that MLFLOW_TRACKING_URI names.

It can tell: a run is found by its tag, its losses have steps, and a point with the same time is kept once.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from foundry.interface.track.tracker import PROJECT, Point, Run

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
_entities: Any = import_module("mlflow.entities")
_Client: Any = import_module("mlflow.tracking").MlflowClient
PARAMS = 90
"""At once; it takes 100."""
STATUS = {"running": "RUNNING", "failed": "FAILED", "interrupted": "KILLED", "trained": "RUNNING"}
_clients: dict[str, tuple[Any, str]] = {}


class Exported:
    def __init__(self, into: Path) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{into}/mlflow.db"
        if uri not in _clients:
            client = _Client(tracking_uri=uri)
            known = client.get_experiment_by_name(PROJECT)
            local = (into / "artifacts").as_uri() if uri.startswith("sqlite") else None
            found = known.experiment_id if known else client.create_experiment(PROJECT, artifact_location=local)
            _clients[uri] = client, found
        self.client, self.experiment = _clients[uri]

    def begin(self, run: Run) -> int:
        self.began = int(run.started_unix * 1000)
        found = self.client.search_runs([self.experiment], f"tags.foundry_run = '{run.run}'", max_results=1)
        if found:
            self.id = found[0].info.run_id
            return max((one.step for one in self.client.get_metric_history(self.id, "train/loss")), default=0)
        about = {"foundry_run": run.run, "foundry_recipe": run.recipe}
        made = self.client.create_run(self.experiment, self.began, about, run_name=run.name)
        self.id = made.info.run_id
        return 0

    def points(self, points: list[Point]) -> None:
        metrics = [
            _entities.Metric(key, value, self.began + int(point.seconds * 1000), point.step)
            for point in points
            for key, value in point.values.items()
        ]
        self.client.log_batch(self.id, metrics=metrics)

    def finish(self, run: Run) -> None:
        params = [_entities.Param(re.sub(r"[^\w./ -]", "_", key), str(value)) for key, value in run.config.items()]
        for first in range(0, len(params), PARAMS):
            self.client.log_batch(self.id, params=params[first : first + PARAMS])
        step = int(run.summary.get("steps", 0))
        ended = int((run.ended_unix or run.started_unix) * 1000)
        numbers = {key: value for key, value in run.summary.items() if isinstance(value, (int, float))}
        metrics = [_entities.Metric(key, float(value), self.began, step) for key, value in numbers.items()]
        tags = {"foundry_status": run.status, "foundry_tags": " ".join(run.tags)}
        tags |= {f"foundry_{tag}": str(tag in run.tags).lower() for tag in ("champion", "certified", "rejected")}
        self.client.log_batch(self.id, metrics, (), [_entities.RunTag(key, value) for key, value in tags.items()])
        status = STATUS.get(run.status, "FINISHED")
        if status == "RUNNING":
            self.client.update_run(self.id, status)
        else:
            self.client.set_terminated(self.id, status, ended)
