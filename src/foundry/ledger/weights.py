"""Where runs' weights are, and which of them stay: the rule that bounds what they take on the disk.

Weights can be made again, bit by bit (`train RUN --weights`), so only what is likely to be used is kept:

- what `train` was asked for, until a person removes it;
- one run of each recipe that was ever champion, of the latest `CHAMPIONS`;
- of all others the newest `FEWEST_RUNS`, and up to `MOST_RUNS` while those take no more than `MOST_BYTES`. To these
  belong all from before the ledger kept who had asked.

A run that somebody is training, judging or sampling keeps its weights for as long. May not: touch a score or a record.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry.core import places
from foundry.core.errors import WorkError
from foundry.ledger.lease import is_alive

if TYPE_CHECKING:
    from foundry.ledger.ledger import Ledger

CHAMPIONS = 256
RULE = "the newest 64 within 1 GiB, one run of each champion, and what `train` was asked for stay"
FEWEST_RUNS, MOST_RUNS = 16, 64
"""The fewest are those that a promotion's effect is measured again on: their sealed score is taken afterwards."""
MOST_BYTES = 1 << 30


def run_folder(run: str) -> Path:
    return places.runs().absolute() / run[:16]  # workers may stand elsewhere


def tokenizer_file(data_hash: str) -> Path:
    """The tokenizer that runs on this data need to be used, kept with them: the corpus may change or go."""
    return places.runs().absolute() / "tokenizers" / f"{data_hash}.json"


def weights_folder(run: str) -> Path:
    return run_folder(run) / "checkpoint"


def are_whole(run: str) -> bool:
    """Whether a run's weights are there as they were saved."""
    from foundry.train.checkpoint import load_weights

    try:
        load_weights(weights_folder(run))
    except WorkError:
        return False
    return True


UNKNOWN = 1
"""Bytes on record of a run that may have weights, until somebody looks."""


def size_bytes(run: str) -> int:
    """What a run's checkpoint takes, and one that was cut off while it was written."""
    files = (file for place in _places(run) for file in place.glob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _places(run: str) -> tuple[Path, Path]:
    return weights_folder(run), weights_folder(run).with_name("checkpoint.new")


def make_again(run: str) -> str:
    """The command that does."""
    return f"foundry train {run[:12]} --weights makes its weights again, bit by bit"


class Hold:
    """Weights in use: while it is open nobody removes them by the rule. The kernel lets go when its process dies."""

    def __init__(self, run: str) -> None:
        """Raises OSError for a run without a folder."""
        self._folder = os.open(run_folder(run), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._folder, fcntl.LOCK_SH)

    def close(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def superfluous(rows: Iterable[Mapping[str, Any]], champions: set[str]) -> list[str]:
    """The runs whose weights the rule doesn't keep, of `rows` with weights, newest first."""
    over: list[str] = []
    remembered: set[str] = set()
    count = total = 0
    for row in rows:
        if row["kept"] or is_training(row):
            continue
        recipe = row["recipe"]
        if row["status"] == "done" and recipe in champions and recipe not in remembered:
            remembered.add(recipe)
            continue
        count, total = count + 1, total + row["weights_bytes"]
        if count > MOST_RUNS or (count > FEWEST_RUNS and total > MOST_BYTES):
            over.append(row["id"])
    return over


def tidy(ledger: Ledger) -> list[str]:
    """Remove what the rule doesn't keep; the runs that it was removed of. What is in use waits for another time."""
    rows = ledger.runs.with_weights()
    unseen = [row for row in rows if row["weights_bytes"] == UNKNOWN and not is_training(row)]
    if unseen:  # an interrupted run's, and those of a ledger from before it counted them
        ledger.runs.found_weights([(row["id"], row["fence"], size_bytes(row["id"])) for row in unseen])
        rows = ledger.runs.with_weights()
    removed = [run for run in superfluous(rows, _champions(ledger)) if remove(run)]
    ledger.runs.lost_weights(removed)
    return removed


def _champions(ledger: Ledger) -> set[str]:
    return set(ledger.promotions.champions(CHAMPIONS))


def is_training(row: Mapping[str, Any]) -> bool:
    """Whether somebody alive trains it."""
    return row["status"] == "running" and is_alive(row["owner"])


def remove(run: str) -> bool:
    """Remove a run's weights; whether they are gone now: what is in use stays."""
    with unheld(run_folder(run)) as free:
        for place in _places(run) if free else ():
            shutil.rmtree(place, ignore_errors=True)
        return free


@contextlib.contextmanager
def unheld(folder: Path) -> Iterator[bool]:
    """Whether a run's folder is in nobody's use, and nobody can take it into use until the end; true of one that is
    gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield not folder.exists()
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
