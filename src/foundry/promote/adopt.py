"""`adopt KIND`: move a promoted workspace part into the package. May not: change a recipe, the ledger, or the file.

From then on the part is Foundry's own: its identity is the version, not a hash, and recipes that use it have another
fingerprint than before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.core.files import write_atomic
from foundry.core.fingerprint import bytes_fingerprint
from foundry.core.slot import Slot
from foundry.core.slots import SLOTS
from foundry.documents.recipes import Adoptable, Adopted, Measured
from foundry.ledger.ledger import Ledger

QUARANTINED = "in quarantine until a person has looked"
TRUST = (
    "from then on it runs with all of Foundry's rights, in the processes that keep the ledger and hold judged text; "
    "no sandbox is around it, and what the judge says of it is worth what the code lets it say"
)
PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parents[1]
"""Where Foundry's own source is kept under version control; an installed copy of the package has none around it."""


@dataclass(frozen=True)
class _Part:
    slot: Slot
    kind: str
    file: Path


def look(ledger: Ledger, name: str, force: bool = False) -> Adoptable:
    """What a person is to see before the workspace part `slot:kind`, or `kind` where one slot has it, is adopted.

    Raises RequestError for a part that isn't there, that is in the package already, that (in the version at hand) was
    not promoted (but with `force`), or that is in quarantine, which `force` doesn't lift.
    """
    part = _find(name)
    if PACKAGE.parent != CHECKOUT / "src" or not (CHECKOUT / "pyproject.toml").is_file():
        message = "adopt changes Foundry's own source, and this Foundry is installed without it"
        hint = "use the part as it is, from the workspace; to adopt it, run Foundry from a checkout (`make install`)"
        raise RequestError("adopt.no_checkout", str(PACKAGE), message, got=name, hint=hint)
    source = part.file.read_bytes()
    recipes = _with_source(ledger, part, bytes_fingerprint(source))
    released = [entry for entry in ledger.promotions.all() if entry["to_fp"] in recipes and not entry["reverted"]]
    measured = [verdict for recipe in recipes for verdict in ledger.verdicts.on(recipe)]
    if not released and any(QUARANTINED in " ".join(verdict["reasons"]) for verdict in measured):
        hint = "docs/judge.md says how to look, and how to release it"
        raise RequestError("adopt.quarantined", str(part.file), f"it is {QUARANTINED}", got=name, hint=hint)
    promotion = next((entry["id"] for entry in reversed(released) if entry["kind"] == "promote"), None)
    if promotion is None and not force:
        message = "this version of the file was never promoted"
        raise RequestError("adopt.not_promoted", str(part.file), message, got=name, hint="promote it first, or --force")
    target = PACKAGE / part.slot.relative / part.file.name
    if target.exists():
        raise RequestError("adopt.exists", str(target), "the package has a file of this name", hint="rename the part")
    return Adoptable(
        slot=part.slot.name,
        kind=part.kind,
        from_=str(part.file),
        to=str(target),
        source=source.decode(errors="backslashreplace"),
        measured=tuple(Measured.from_dict(verdict) for verdict in measured),
        promotion=promotion,
        trust=TRUST,
    )


def adopt(ledger: Ledger, name: str, force: bool = False, seen: str | None = None) -> Adopted:
    """Move a part into the package. seen: the source that was agreed to. Raises what `look` raises, and RequestError
    for a file that is another by now."""
    document = look(ledger, name, force)
    file, target = Path(document.from_), Path(document.to)
    if seen is not None and seen != document.source:
        raise RequestError("adopt.changed", str(file), "it was changed while you looked", hint="look again")
    write_atomic(target, file.read_bytes())
    file.unlink()
    commit = f"git add {target} && git commit -m 'Adopt {document.slot}:{document.kind}'"
    return Adopted.from_dict(document.plain(), commit=commit)


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


def _with_source(ledger: Ledger, part: _Part, source: str) -> list[str]:
    """The recorded recipes with this very source in them."""
    rows = ledger.recipes.with_source(source)
    return [
        row["fingerprint"] for row in rows if json.loads(row["sources"]).get(part.slot.at, {}).get("hash") == source
    ]
