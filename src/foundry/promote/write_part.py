"""A part of an agent's, put into the workspace as text: the only place that this writes to. May not: run it, or replace
what its caller hasn't seen.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from foundry.core import code, places
from foundry.core.errors import RequestError
from foundry.core.files import replace_if, write_atomic
from foundry.core.slot import LONGEST_KIND, Slot
from foundry.core.slots import SLOTS
from foundry.documents.mcp import PartWritten

HASH_DIGITS = 16


def write_part(slot: str, kind: str, source: str, replaces: str = "") -> PartWritten:
    """Write `source` as workspace/modules/SLOT/KIND.py.

    replaces: the hash of the source that stands there. Raises RequestError for no slot, kind or Python, for a kind of
    the package's, and where another source stands there than the caller knows."""
    place = _place(slot, kind)
    root = places.workspace()
    file = root / place.relative / f"{kind}.py"
    if not file.resolve().is_relative_to(root.resolve()):
        raise RequestError("part.outside", str(file), "a link leads it out of the workspace", hint="remove the link")
    if kind in place.kinds() and place.is_builtin(kind):
        raise RequestError("part.builtin", f"{slot}:{kind}", "the package has one of that name", hint="another name")
    with tempfile.TemporaryDirectory(prefix="foundry-part-") as folder:
        tried = Path(folder) / f"{kind}.py"
        tried.write_text(source)
        try:
            code.parsed(tried, "Config")
        except RequestError as error:
            error.path = error.path.replace(str(tried), str(file))
            raise
    if not file.exists():
        write_atomic(file, source)
        return _written(place, file, source, replaced=False)
    stands = file.read_text()
    if stands == source:
        return _written(place, file, source, replaced=False)
    if replaces != _hash(stands) or not replace_if(file, stands, source):
        hint = f"read the file; to replace it: replaces={_hash(file.read_text())}"
        raise RequestError("part.exists", str(file), "another source stands there", got=replaces or None, hint=hint)
    return _written(place, file, source, replaced=True)


def _place(slot: str, kind: str) -> Slot:
    open_slots = {each.name: each for each in SLOTS if each.name != "tokenizer"}  # which would see judged text
    if slot not in open_slots:
        raise RequestError("part.slot", "slot", f"no '{slot:.80}' that code can be added to", got=slot,
                           choices=list(open_slots))  # fmt: skip
    if not kind.isidentifier() or not kind.isascii() or kind.startswith("_") or len(kind) > LONGEST_KIND:
        message = f"a kind is a Python name in ASCII of at most {LONGEST_KIND} characters, without a _ before it"
        raise RequestError("part.kind", "kind", message, got=kind[:200])
    return open_slots[slot]


def _written(slot: Slot, file: Path, source: str, *, replaced: bool) -> PartWritten:
    size = len(source.encode())
    return PartWritten(
        file=str(file), slot=slot.name, kind=file.stem, hash=_hash(source), bytes=size, replaced=replaced
    )


def _hash(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:HASH_DIGITS]
