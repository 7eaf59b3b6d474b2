"""Which runs' folders stay: the rule that bounds what runs leave on the disk beside their weights.

A folder has its run's recipe, the losses of its training and what its code printed: 30 kB at baseline size. Scores,
failures and recipes are in the ledger, which forgets nothing. The folders of the newest `MOST` runs stay, and older
ones that have weights. May not: touch a record, or a folder that the ledger doesn't know.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from foundry.core import places
from foundry.ledger.weights import unheld

if TYPE_CHECKING:
    from foundry.ledger.ledger import Ledger

MOST = 4096
EVERY = 256
"""Runs between two looks, which list every folder."""
RULE = f"the newest {MOST:,} runs keep their folder, and older ones with weights"


def tidy(ledger: Ledger) -> list[str]:
    """Remove the folders that the rule doesn't keep; their names. One in use waits for another time."""
    names = [place.name for place in places.runs().glob("[0-9a-f]" * 16)]
    superfluous = ledger.runs.forgettable(names, MOST) if len(names) > MOST else []
    return [name for name in superfluous if _remove(name)]


def _remove(name: str) -> bool:
    """Whether it is gone now."""
    folder = places.runs() / name
    with unheld(folder) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)
        return free
