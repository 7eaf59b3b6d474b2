"""`adopt KIND`: move a promoted workspace part into the package. May not: change a recipe, the ledger, or the file.

From then on the part is Foundry's own: its identity is the version, not a hash, and recipes that use it have another
fingerprint than before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.core.files import write_atomic
from foundry.core.fingerprint import file_fingerprint
from foundry.core.slot import Slot
from foundry.core.slots import SLOTS
from foundry.runs.ledger import Ledger

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class _Part:
    slot: Slot
    kind: str
    file: Path


def adopt(ledger: Ledger, name: str, force: bool = False) -> dict[str, Any]:
    """Move the workspace part `slot:kind`, or `kind` where one slot has it, into the package.

    Returns {"slot", "kind", "from", "to", "promotion", "commit"}: promotion is the id of the one that it came with, or
    null with `force`; commit says what to commit. Raises RequestError for a part that isn't there, that is in the
    package already, or that (in the version at hand) was not promoted.
    """
    part = _find(name)
    promotion = _promotion_of(ledger, part)
    if promotion is None and not force:
        message = "this version of the file was never promoted"
        raise RequestError("adopt.not_promoted", str(part.file), message, got=name, hint="promote it first, or --force")
    target = PACKAGE / part.slot.relative / part.file.name
    if target.exists():
        raise RequestError("adopt.exists", str(target), "the package has a file of this name", hint="rename the part")
    write_atomic(target, part.file.read_bytes())
    part.file.unlink()
    return {
        "slot": part.slot.name,
        "kind": part.kind,
        "from": str(part.file),
        "to": str(target),
        "promotion": promotion,
        "commit": f"git add {target} && git commit -m 'Adopt {part.slot.name}:{part.kind}'",
    }


def _find(name: str) -> _Part:
    slot_name, _, kind = name.rpartition(":")
    found = [
        _Part(slot, kind, file)
        for slot in SLOTS
        if slot_name in ("", slot.name)
        and (file := places.workspace() / slot.relative / f"{kind}.py").is_file()
        and kind.isidentifier()
    ]
    if len(found) == 1:
        return found[0]
    files = [(slot, file) for slot in SLOTS for file in (places.workspace() / slot.relative).glob("*.py")]
    choices = sorted(f"{slot.name}:{file.stem}" for slot, file in files)
    message = "several slots have it" if found else "no such part in the workspace"
    raise RequestError("adopt.unknown", str(places.workspace()), message, got=name, choices=choices)


def _promotion_of(ledger: Ledger, part: _Part) -> str | None:
    """The latest standing promotion to a recipe with this very source in it."""
    source = file_fingerprint(part.file)
    for entry in reversed(ledger.promotions.all()):
        recipe = ledger.recipes.get(entry["to_fp"])
        recorded = json.loads(recipe["sources"]).get(part.slot.at) if recipe is not None else None
        if recorded is not None and recorded["hash"] == source and entry["kind"] == "promote" and not entry["reverted"]:
            return entry["id"]
    return None
