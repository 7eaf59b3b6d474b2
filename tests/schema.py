"""docs/schema.json as a test reads it: what of a document doesn't fit. Only what the schema uses is understood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.home import ROOT

TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "object": dict,
         "array": list}  # fmt: skip


@cache
def schema() -> dict[str, Any]:
    return json.loads((ROOT / "docs" / "schema.json").read_text())


def faults(value: Any, rule: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where `value` breaks `rule`, or has a key that its schema doesn't name: what we print is all in there."""
    if "$ref" in rule:
        rule = schema()["$defs"][rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:
        each = [list(faults(value, one, at)) for one in rule["anyOf"]]
        return (yield from min(each, key=len))
    if "const" in rule and value != rule["const"]:
        yield f"{at}: {value!r} is not {rule['const']!r}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{at}: {value!r} is none of {rule['enum']}"
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(
        isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds
    ):
        return (yield f"{at}: {value!r:.80} is no {' or '.join(kinds)}")
    if isinstance(value, str) and not (
        len(value) <= rule.get("maxLength", len(value)) and re.search(rule.get("pattern", ""), value)
    ):
        yield f"{at}: {value!r:.80} is no such text"
    if isinstance(value, list) and "items" in rule:
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            yield f"{at}: {len(value)} items"
        for i, one in enumerate(value):
            yield from faults(one, rule["items"], f"{at}[{i}]")
    if isinstance(value, dict) and ("properties" in rule or "additionalProperties" in rule):
        named, other = rule.get("properties", {}), rule.get("additionalProperties")
        yield from (f"{at}.{key}: missing" for key in rule.get("required", ()) if key not in value)
        for key, one in value.items():
            if key in named or other is not None:
                yield from faults(one, named.get(key, other), f"{at}.{key}")
            else:
                yield f"{at}.{key}: a key that the schema doesn't name"
    return None


def check(document: dict[str, Any], verb: str = "") -> dict[str, Any]:
    """The printed document, which must be one that the verb answers; of a verb not named, of any."""
    rules = schema()["verbs"]
    found = list(faults(document, rules[verb] if verb else {"anyOf": list(rules.values())}))
    assert not found, f"{verb}: " + "; ".join(found[:5])
    return document


def text(frame: dict[str, str] | None) -> str:
    """What stands in a frame, as it was."""
    return json.loads(frame["untrusted"]) if frame is not None else ""
