"""Reading and writing recipes as YAML 1.2: the one YAML parser in the project. Comments survive an update.

Refused, each in one line that names the place: files over 256 KiB, aliases, anchors, tags, duplicate keys,
several documents, deep nesting, non-finite numbers, keys that are not strings.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from foundry.core.errors import RequestError
from foundry.core.files import write_atomic

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12


def read_text(path: Path) -> str:
    """The file's text. Raises RequestError when it is missing, not a file, too large or not UTF-8."""
    try:
        if not path.is_file():
            raise RequestError("yaml.no_file", str(path), "no such file", hint=_neighbours(path))
        if path.stat().st_size > MAX_BYTES:
            raise RequestError("yaml.too_large", str(path), f"{path.stat().st_size} bytes; at most {MAX_BYTES}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError("yaml.not_utf8", str(path), f"not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise RequestError("yaml.unreadable", str(path), str(error.strerror)) from None


def parse(text: str, name: str = "<text>") -> dict[str, Any]:
    """A mapping of plain Python values. Raises RequestError; `name` says where the text came from."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RequestError("yaml.too_large", name, f"more than {MAX_BYTES} bytes")
    return _plain(_load(text, name), name)


def load(path: Path) -> dict[str, Any]:
    """The mapping in the file `path`, as plain Python values. Raises RequestError."""
    return parse(read_text(path), str(path))


def updated(text: str, values: dict[str, Any], header: str = "") -> str:
    """`text` with its content made equal to `values`: comments and order kept where the keys stay."""
    document = _load(text, "<text>") if text.strip() else CommentedMap()
    _merge(document, values)
    out = io.StringIO()
    _yaml().dump(document, out)
    return header + out.getvalue()


def save(path: Path, values: dict[str, Any], like: str = "", header: str = "") -> None:
    """Write `values` atomically, with the comments of the YAML text `like`."""
    write_atomic(path, updated(like, values, header))


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.version = None
    yaml.allow_duplicate_keys = False
    yaml.width = 120
    return yaml


def _load(text: str, name: str) -> CommentedMap:
    try:
        _refuse_what_hides(text, name)
        document = _yaml().load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = str(error.problem).split(" with ")[0].split("\n")[0]
        raise RequestError("yaml.duplicate_key", f"{name}:{line}", problem) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise RequestError("yaml.syntax", f"{name}:{line}", str(error.problem or error.context)) from None
    except (YAMLError, ValueError, OverflowError, RecursionError, AttributeError, TypeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise RequestError("yaml.syntax", name, reason) from None
    if not isinstance(document, CommentedMap):
        raise RequestError("yaml.not_a_mapping", name, "a recipe is a mapping of keys to values")
    return document


def _refuse_what_hides(text: str, name: str) -> None:
    depth = documents = 0
    for event in _yaml().parse(text):
        mark = event.start_mark
        where = f"{name}:{mark.line + 1}" if mark is not None else name
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            raise RequestError("yaml.alias", where, "anchors and aliases are not allowed", hint="write the value out")
        if getattr(event, "tag", None) not in (None, "!") and getattr(event, "ctag", None) is not None:
            raise RequestError("yaml.tag", where, f"tags are not allowed: {event.tag}", hint="remove the tag")
        documents += isinstance(event, DocumentStartEvent)
        depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
        depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
        if depth > MAX_DEPTH:
            raise RequestError("yaml.too_deep", where, f"nested more than {MAX_DEPTH} deep")
        if documents > 1:
            raise RequestError("yaml.documents", where, "more than one document", hint="one recipe, one file")


def _plain(value: Any, path: str, top: bool = True) -> Any:
    """ruamel's round-trip types as plain ones, everything checked on the way."""
    here = "" if top else path
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise RequestError("yaml.bad_key", here or path, f"keys are strings, got {key!r:.60}", got=str(key))
        return {str(k): _plain(v, f"{here}.{k}" if here else str(k), False) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}[{i}]", False) for i, item in enumerate(value)]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise RequestError("yaml.too_large_number", path, "does not fit 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RequestError("yaml.not_finite", path, f"{value} is not a finite number", got=str(value))
        return float(value)
    if type(value).__name__ == "ScalarBoolean":  # a ruamel bool that is an int subclass
        return bool(value)
    return str(value)


def _merge(target: CommentedMap, values: dict[str, Any]) -> None:
    for key in [key for key in target if key not in values]:
        del target[key]
    for key, value in values.items():
        old = target.get(key)
        if isinstance(value, dict) and isinstance(old, CommentedMap):
            _merge(old, value)
        elif key not in target or _plain(old, key, False) != value or type(_plain(old, key, False)) is not type(value):
            target[key] = _flow(value)


def _flow(value: Any) -> Any:
    """New lists and small mappings are written on one line, as the rest of a recipe is."""
    if isinstance(value, dict):
        mapping = CommentedMap({k: _flow(v) for k, v in value.items()})
        if not any(isinstance(v, dict) for v in value.values()):
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, (list, tuple)):
        sequence = CommentedSeq([_flow(item) for item in value])
        sequence.fa.set_flow_style()
        return sequence
    return value


def _neighbours(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path(".")
    names = sorted(p.name for p in folder.glob("*.yaml"))
    error = RequestError("", got=path.name, choices=names)
    return error.hint or (f"{folder} has {', '.join(names[:8])}" if names else f"{folder} has no recipes")
