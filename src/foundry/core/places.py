"""Where state lives: the working directory, or the folder that a caller stands in, unless an environment variable moves
it.

Nothing here is a process's: two threads, or two projects in one notebook, stand in folders of their own (`within`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from foundry.core.errors import RequestError, WorkError

_here: ContextVar[tuple[Path, Mapping[str, str]]] = ContextVar("here", default=(Path(), {}))


@contextlib.contextmanager
def within(folder: Path | None = None, **variables: str | Path) -> Iterator[None]:
    """Until the end, in this context alone: `folder` in the working directory's place, and variables with other values
    than the environment's."""
    before, moved = _here.get()
    token = _here.set((before if folder is None else folder, {**moved, **{k: str(v) for k, v in variables.items()}}))
    try:
        yield
    finally:
        _here.reset(token)


def root() -> Path:
    """What relative names are taken from."""
    return _here.get()[0]


def environment() -> dict[str, str]:
    """What a process that is started in `root()` needs in its environment to find the same places."""
    return {**os.environ, **_here.get()[1]}


def _named(variable: str) -> Path | None:
    """Where the variable says; None where it is unset, or set to nothing."""
    text = _here.get()[1].get(variable, os.environ.get(variable, ""))
    return root() / text if text else None


def experiments() -> Path:
    """Recipes: the user's to edit and to commit."""
    return _named("FOUNDRY_EXPERIMENTS") or root() / "experiments"


def baseline() -> Path:
    """The recipe that candidates have to beat, unless another is named."""
    return experiments() / "baseline.yaml"


def runs() -> Path:
    """The ledger, one folder a run, reports."""
    return _named("FOUNDRY_RUNS") or root() / "runs"


def track(baseline: Path) -> str:
    """The name under which the ledger keeps a baseline file's line of champions: the file's own, links followed, from
    the folder that `runs()` stands in where it is below that. A project that is moved with its runs keeps its line."""
    return _below(runs().absolute().parent.resolve(), baseline)


def former_track(baseline: Path) -> str:
    """Its name when names were taken from the working directory, wherever the runs were."""
    return _below(root().resolve(), baseline)


def _below(folder: Path, file: Path) -> str:
    path = (root() / file).resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def workspace() -> Path:
    """Code from agents, under the same relative paths as in the package."""
    return _named("FOUNDRY_WORKSPACE") or root() / "workspace"


def corpora() -> Path:
    """Texts that come with the installation, where no Python looks for packages."""
    return Path(sys.prefix) / "share" / "foundry" / "corpora"


def cache() -> Path:
    """Prepared data, by content. Raises RequestError where no variable says where and there is no home directory."""
    return _named("FOUNDRY_CACHE") or (_named("XDG_CACHE_HOME") or _home("FOUNDRY_CACHE") / ".cache") / "foundry"


def keys() -> Path:
    """The keys of ledgers' seals, out of every sandbox's reach. Raises RequestError as `cache`."""
    named = _named("FOUNDRY_KEYS")
    return named or (_named("XDG_STATE_HOME") or _home("FOUNDRY_KEYS") / ".local" / "state") / "foundry"


def _home(variable: str) -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry in the machine's list
        hint = f"set {variable} to a folder that you may write"
        raise RequestError("places.no_home", variable, "there is no home directory", hint=hint) from None


def mend(path: str) -> str:
    """Which variable moves a place that can't be used; nothing for a path that is in none of them."""
    moved = {"FOUNDRY_CACHE": cache, "FOUNDRY_RUNS": runs, "FOUNDRY_WORKSPACE": workspace, "FOUNDRY_KEYS": keys}
    for variable, place in moved.items():
        with contextlib.suppress(RequestError):
            if path and Path(path).absolute().is_relative_to(place().absolute()):
                return f"give yourself permission, or set {variable} to a folder that you may write"
    return ""


def refused(error: OSError | MemoryError) -> WorkError:
    """What the machine refuses, in one line with the mend."""
    if isinstance(error, MemoryError):
        hint = "raise its limit (ulimit -v), or free some"
        return WorkError("os.memory", "", "this process may have no more memory", hint=hint)
    file, message = str(error.filename or ""), str(error.strerror or error)
    return WorkError(f"os.{type(error).__name__}", file, message, hint=mend(file))
