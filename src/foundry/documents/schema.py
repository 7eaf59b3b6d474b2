"""docs/schema.json (JSON Schema 2020-12), made of the documents: `python -m foundry.documents.schema`, run at the root.

An object may have more keys than its schema names: new ones come without a new number (docs/json.md).
"""

from __future__ import annotations

import json
import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from foundry.core import untrusted
from foundry.core.files import SCHEMA
from foundry.documents import budget, campaign, comparison, exports, failure, mcp, page, recipes, runs, sweep, underway
from foundry.documents.document import Document, Foreign, Integer, Ours, Printed, hints

VERBS: dict[str, tuple[type[Document], ...]] = {
    "init": (recipes.Initialized,),
    "skill": (recipes.Skill,),
    "train": (runs.Trained,),
    "compare": (comparison.Comparison, comparison.Comparisons),
    "sweep": (sweep.Sweep,),
    "campaign": (campaign.Campaign,),
    "propose": (campaign.Proposed,),
    "proposals": (campaign.Proposals, campaign.Proposal),
    "history": (campaign.History,),
    "reproduce": (campaign.Reproduced,),
    "log": (runs.Log,),
    "show": (runs.RunShown, runs.RecipeShown, comparison.ComparisonShown, runs.PromotionShown),
    "diff": (runs.Diff,),
    "lineage": (runs.Lineage,),
    "report": (page.Reported,),
    "serve": (page.Served,),
    "track": (underway.Tracked,),
    "start": (underway.Started,),
    "wait": (underway.Waited,),
    "jobs": (underway.Jobs,),
    "mcp": (mcp.McpConfig, mcp.McpServed),
    "ps": (underway.Underway,),
    "stop": (underway.Stopped,),
    "clean": (underway.Cleaned,),
    "curve": (underway.Curves,),
    "verify": (budget.Verified,),
    "budget": (budget.Budget,),
    "kinds": (recipes.Kinds,),
    "mutate": (recipes.Catalogue, recipes.Mutated),
    "data": (recipes.Prepared,),
    "sample": (recipes.Sampled,),
    "export": (exports.Exported, exports.ExportTargets),
    "import": (exports.Imported,),
    "revert": (budget.Reverted,),
    "check": (recipes.Checked,),
    "adopt": (recipes.Adopted,),
    "rebuild": (recipes.Rebuilt,),
}
"""Verb → what it may answer, besides a `Failure`."""

UNTRUSTED = {
    "description": "Text that came from outside: data, whatever it says. A JSON string inside the string.",
    "type": "object",
    "properties": {"untrusted": {"type": "string", "maxLength": untrusted.MOST}},
    "required": ["untrusted"],
}
NAME = {
    "description": "A single word; what is none is framed.",
    "anyOf": [{"type": "string", "pattern": f"^({untrusted.WORD})$"}, {"$ref": "#/$defs/Untrusted"}],
}
PLAIN = {Ours: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def schema() -> dict[str, Any]:
    """{"verbs": verb → schema, "$defs": document → schema}."""
    made: dict[str, Any] = {}
    verbs = {
        verb: {"anyOf": [_of(document, made) for document in (*documents, failure.Failure)]}
        for verb, documents in VERBS.items()
    }
    for top in {document.__name__ for documents in VERBS.values() for document in documents} | {"Failure"}:
        made[top]["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What foundry's commands print with --json",
        "verbs": verbs,
        "$defs": dict(sorted(made.items())),
    }


def _of(kind: Any, made: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; those of documents go into `made`, by name."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in (Any, Printed):
        return {}
    if kind == Integer:
        return {"type": ["integer", "string"]}
    if kind == Foreign:
        made["Untrusted"] = UNTRUSTED
        return {"anyOf": [{"$ref": "#/$defs/Untrusted"}, {"type": "null"}]}
    if kind is str:
        made["Untrusted"], made["Word"] = UNTRUSTED, NAME
        return {"$ref": "#/$defs/Word"}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(each, made) for each in inside]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(inside[1], made)}
    if origin is tuple:
        size = {} if inside[-1] is ... else {"minItems": len(inside), "maxItems": len(inside)}
        kinds = [_of(each, made) for each in inside if each is not ...]
        return {"type": "array", "items": kinds[0] if all(k == kinds[0] for k in kinds) else {"anyOf": kinds}, **size}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if kind.__name__ not in made:
        made[kind.__name__] = {}
        keys = [field.name.rstrip("_") for field in fields(kind)]
        about = (
            {}
            if (kind.__doc__ or "").startswith(f"{kind.__name__}(")
            else {"description": " ".join((kind.__doc__ or "").split())}
        )
        parts = {
            key: _of(each, made) for key, each in zip(keys, (hints(kind)[f.name] for f in fields(kind)), strict=True)
        }
        made[kind.__name__] = {**about, "type": "object", "properties": parts, "required": keys}
    return {"$ref": f"#/$defs/{kind.__name__}"}


def written() -> str:
    """The schema as the file has it, a line for each verb and each document."""
    whole = schema()
    parts = [
        f'"{name}": {{\n'
        + ",\n".join(f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in part.items())
        + "\n}"
        if isinstance(part, dict)
        else f'"{name}": {json.dumps(part)}'
        for name, part in whole.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    Path("docs/schema.json").write_text(written())
