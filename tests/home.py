"""A small user's belongings: a recipe whose runs take a fraction of a second, and a lab to run them in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from foundry.compare.session import Lab, Settings
from foundry.core import yaml_io
from foundry.execute.result import Limits
from foundry.ledger.schema import APPLICATION_ID, SINCE

ROOT = Path(__file__).resolve().parents[1]
TINY: dict[str, Any] = {
    "model.layers": 1,
    "model.width": 16,
    "model.context": 16,
    "model.attention.heads": 2,
    "model.attention.kv_heads": 2,
    "train.batch_size": 4,
    "budget.tokens": 64 * 12,
}


def write_tiny(path: Path, **changes: Any) -> Path:
    """The baseline that ships with tiny sizes, and `changes` by dotted path (dots written as two underscores)."""
    text = (ROOT / "src/foundry/starter/files/experiments/baseline.yaml").read_text()
    values = yaml_io.parse(text)
    for dotted, value in {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}.items():
        *parents, last = dotted.split(".")
        holder = values
        for parent in parents:
            holder = holder[parent]
        holder[last] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml_io.save(path, values, text)
    return path


def stop_forkserver() -> None:
    """End this process's forkserver; whoever needs one next starts another."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined] (the standard library's own tests do it so)


def small_lab(jobs: int = 2, **limits: float) -> Lab:
    return Lab(Settings(jobs=jobs, device="cpu", judged_bytes=2048, limits=Limits(**limits)))  # type: ignore[arg-type]


def older_ledger(path: Path, version: int, more: Iterable[str] = ()) -> None:
    """A ledger as that version of the program left it, after the statements `more`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    for statement in (*(each for since in range(1, version + 1) for each in SINCE[since]), *more):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
