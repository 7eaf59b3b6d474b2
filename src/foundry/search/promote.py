"""Promotion: compare-and-swap in the ledger, then the baseline file; and the way back. May not: judge.

The ledger is the record and the file is derived from it: a promotion that was cut off between the two is finished by
`settle`, which every verb that changes a baseline calls first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.core.files import write_atomic
from foundry.recipe import Recipe
from foundry.runs.ledger import Ledger


def track_of(path: Path) -> str:
    """The name under which the ledger keeps a baseline file's line of champions."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def settle(ledger: Ledger, path: Path) -> Recipe:
    """The baseline in `path`, the ledger and the file agreeing afterwards.

    A promotion whose text never reached the file is written now; any other content that isn't the champion's was
    edited by a person, and is adopted.
    """
    track = track_of(path)
    last = ledger.promotions.last(track)
    if last is not None and last["written"] is None:
        if yaml_io.read_text(path) == last["old_text"]:
            write_atomic(path, last["new_text"])
        ledger.promotions.mark_written(last["id"])
    recipe = Recipe.load(path)
    if ledger.promotions.champion(track) != recipe.fingerprint:
        ledger.recipes.put(recipe)
        ledger.promotions.adopt(track, recipe.fingerprint, yaml_io.read_text(path))
    return recipe


def promote(
    ledger: Ledger, path: Path, baseline: Recipe, winner: Recipe, verdict_id: str | None, record: dict[str, Any]
) -> str:
    """Make `winner` the champion in place of `baseline`; the id of the promotion.

    Raises WorkError when another promotion came first: then neither the ledger nor the file has changed.
    """
    old_text = yaml_io.read_text(path)
    ledger.recipes.put(winner)
    promotion = ledger.promotions.promote(
        track_of(path),
        expected=baseline.fingerprint,
        to=winner.fingerprint,
        mutation=winner.name,
        verdict=verdict_id,
        old_text=old_text,
        new_text=yaml_io.updated(old_text, {**winner.to_dict(), "name": baseline.name}),
        effect=record,
    )
    settle(ledger, path)
    return promotion


def revert(ledger: Ledger, path: Path, to: str | None = None) -> dict[str, Any]:
    """Put an earlier champion back: the one before the present, or the one whose fingerprint begins with `to`.

    A promotion of its own on the record. Raises RequestError when there is nothing to go back to.
    """
    current, track = settle(ledger, path), track_of(path)
    standing = ledger.promotions.standing(track)
    if to is not None:
        earlier = [entry for entry in ledger.promotions.lineage(track) if (entry["from_fp"] or "").startswith(to)]
        standing = earlier[-1] if earlier else None
    if standing is None:
        choices = sorted({entry["from_fp"][:12] for entry in ledger.promotions.lineage(track) if entry["from_fp"]})
        raise RequestError("revert.nothing", str(path), "no earlier baseline to go back to", got=to, choices=choices)
    previous = standing["from_fp"]
    promotion = ledger.promotions.promote(
        track,
        expected=current.fingerprint,
        to=previous,
        mutation=f"revert of {standing['mutation']}",
        verdict=None,
        old_text=yaml_io.read_text(path),
        new_text=standing["old_text"],
        effect={},
        reverts=standing["id"],
    )
    settle(ledger, path)
    return {"promotion": promotion, "from": current.fingerprint, "to": previous, "file": str(path)}
