"""Where state lives: the working directory, unless an environment variable moves it."""

from __future__ import annotations

import os
from pathlib import Path


def experiments() -> Path:
    """Recipes: the user's to edit and to commit."""
    return Path(os.environ.get("FOUNDRY_EXPERIMENTS", "experiments"))


def baseline() -> Path:
    """The recipe that candidates have to beat, unless another is named."""
    return experiments() / "baseline.yaml"


def runs() -> Path:
    """The ledger, one folder a run, reports."""
    return Path(os.environ.get("FOUNDRY_RUNS", "runs"))


def track(baseline: Path) -> str:
    """The name under which the ledger keeps a baseline file's line of champions: the file's own, links followed, from
    the folder that `runs()` stands in where it is below that. A project that is moved with its runs keeps its line."""
    return _below(runs().absolute().parent.resolve(), baseline)


def former_track(baseline: Path) -> str:
    """Its name when names were taken from the working directory, wherever the runs were."""
    return _below(Path.cwd(), baseline)


def _below(root: Path, file: Path) -> str:
    path = file.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def workspace() -> Path:
    """Code from agents, under the same relative paths as in the package."""
    return Path(os.environ.get("FOUNDRY_WORKSPACE", "workspace"))


def cache() -> Path:
    """Prepared data, by content."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "foundry"
    return Path(os.environ.get("FOUNDRY_CACHE", default))
