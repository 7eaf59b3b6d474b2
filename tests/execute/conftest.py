"""The room's fixtures: a pool that starts at once, tasks for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.execute.local import Pool, Task
from tests.home import stop_forkserver

sys.path.insert(0, str(Path(__file__).parent))  # workers import what their controller can: pool_targets


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Task]:
    def make(target: str, task_id: str = "", payload: dict[str, Any] | None = None, **limits: Any) -> Task:
        name = task_id or target
        return Task(name, f"pool_targets:{target}", payload or {}, tmp_path / f"{name}.log", **limits)

    return make


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Eight jobs, so that nothing waits; nothing heavy preloaded, so that it starts at once."""
    with Pool(8, preload=(), grace_seconds=0.3) as opened:
        yield opened


@pytest.fixture(scope="module")
def light() -> Iterator[None]:
    """A forkserver that a file's tests have for themselves: its first pool says what it preloads."""
    stop_forkserver()
    yield
    stop_forkserver()
