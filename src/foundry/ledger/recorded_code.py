"""Workspace code as it was recorded: laid out again from the ledger, for a sandbox to read and for whoever rebuilds it.

What runs is what was hashed: a file that is edited while a run waits changes nothing. May not: import what it writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foundry.core import places, yaml_io
from foundry.core.errors import RequestError, WorkError
from foundry.core.files import write_atomic
from foundry.core.fingerprint import bytes_fingerprint
from foundry.documents.recipes import Rebuilt
from foundry.ledger.ledger import Ledger

WORKSPACE = "workspace"


def lay_out(ledger: Ledger, fingerprint: str) -> Path:
    """The absolute folder with the recorded code of a recipe, written where it isn't there yet.

    Raises WorkError for a recipe that isn't recorded, or whose record is damaged."""
    folder = places.runs().absolute() / "code" / fingerprint
    folder.mkdir(parents=True, exist_ok=True)  # a recipe without code has an empty one
    for name, data in _recorded(ledger, fingerprint)[1].items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            write_atomic(path, data)
    return folder


def rebuild(ledger: Ledger, prefix: str, folder: Path) -> Rebuilt:
    """Write a recorded recipe as `folder`/recipe.yaml, its code as `folder`/workspace/…: all that it takes to run it.

    prefix: the recipe's fingerprint or its beginning. Raises RequestError for an unknown one, or a folder that isn't
    empty; WorkError for a damaged record.
    """
    known = ledger.recipes.find(prefix)
    if len(known) != 1:
        message = "no such recipe in the ledger" if not known else f"{len(known)} recipes begin so"
        raise RequestError("rebuild.unknown", "recipe", message, got=prefix, choices=[each[:12] for each in known])
    if folder.exists() and any(folder.iterdir()):
        raise RequestError("rebuild.not_empty", str(folder), "this folder has something in it", hint="name a new one")
    content, code = _recorded(ledger, known[0])
    files = {f"{WORKSPACE}/{name}": data for name, data in code.items()}
    files["recipe.yaml"] = yaml_io.updated("", content).encode()
    for name, data in files.items():
        write_atomic(folder / name, data)
    return Rebuilt(recipe=known[0], files=tuple(sorted(files)), workspace=str(folder / WORKSPACE))


def _recorded(ledger: Ledger, fingerprint: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A recipe's content, and path in the workspace → source, hashes checked."""
    row = ledger.recipes.get(fingerprint)
    if row is None:
        raise WorkError("ledger.unknown_recipe", fingerprint, "no such recipe in the ledger")
    code = {}
    for at, source in json.loads(row["sources"]).items():
        data, name = source["text"].encode(), Path(source["file"])
        if bytes_fingerprint(data) != source["hash"] or name.is_absolute() or ".." in name.parts:
            raise WorkError("ledger.damaged", f"{fingerprint}: {at}", "the recorded source is not what was hashed")
        code[str(name)] = data
    return json.loads(row["content"]), code
