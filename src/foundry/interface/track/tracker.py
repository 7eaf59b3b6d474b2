"""What a tracker is to the exporter, and what it is told of a run. May not: know any tracker's package.

A run has Foundry's id in each. Names and texts are of strangers: they come without control characters, cut short, and
a tracker gets them as values, never as the name of a file, a tag or a metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from foundry.core.errors import RequestError

PROJECT = "foundry"


class Point(NamedTuple):
    """A line of a run's losses. seconds: of training until then."""

    step: int
    seconds: float
    values: dict[str, float]


@dataclass(frozen=True)
class Run:
    """status: as `foundry log` has it, `interrupted` where it was. summary: what was judged and counted; val_bpb is the
    official score. config: the recipe, flat. tags, of its recipe: `champion` of a line now; `certified` by a test that
    was paid out of the error budget; `rejected` by the last comparison, and never certified."""

    run: str
    recipe: str
    name: str
    status: str
    started_unix: float
    ended_unix: float | None
    tags: tuple[str, ...]
    summary: dict[str, float | str]
    config: dict[str, bool | float | str]


class Tracker(Protocol):
    """One run's place in a tracker below a folder."""

    def __init__(self, into: Path) -> None: ...

    def begin(self, run: Run) -> int | None:
        """Make it ready; the last step that it holds, 0 for none, None where it can't tell."""
        ...

    def points(self, points: list[Point]) -> None:
        """Keep them for good: those before the return are there after a kill."""
        ...

    def finish(self, run: Run) -> None:
        """Say what it is now: config, tags, summary, status. Said again, it doubles nothing."""
        ...


PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow-skinny"}


def load(name: str) -> type[Tracker]:
    """The tracker of that name. Raises RequestError where its package isn't installed."""
    try:
        module: Any = import_module(f"foundry.interface.track.to_{name}")
    except ImportError as error:
        hint = f"run `pip install 'foundry-train[track-{name}]'`"
        message = f"the tracker needs {PACKAGES[name]}"
        raise RequestError("track.no_package", str(error.name or name), message, hint=hint) from None
    return module.Exported
