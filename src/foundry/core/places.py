"""Where state lives: the working directory, unless an environment variable moves it."""

from __future__ import annotations

import os
from pathlib import Path


def experiments() -> Path:
    """Recipes: the user's to edit and to commit."""
    return Path(os.environ.get("FOUNDRY_EXPERIMENTS", "experiments"))


def runs() -> Path:
    """The ledger, one folder a run, reports."""
    return Path(os.environ.get("FOUNDRY_RUNS", "runs"))


def workspace() -> Path:
    """Code from agents, under the same relative paths as in the package."""
    return Path(os.environ.get("FOUNDRY_WORKSPACE", "workspace"))


def cache() -> Path:
    """Prepared data, by content."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "foundry"
    return Path(os.environ.get("FOUNDRY_CACHE", default))
