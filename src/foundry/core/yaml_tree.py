"""YAML 1.2 text as a tree of values that know where they stand in it. May not: read or write files.

Values are those of the core schema (yaml.org/spec/1.2.2, §10.3): `6e-4` is a number, `yes` is a string. Refused, each
in one line that names the place: directives, aliases, anchors, tags, merge and duplicate keys, several documents, deep
nesting, keys that are not strings, numbers that are not finite or don't fit 64 bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from foundry.core.errors import RequestError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12

_NULL = re.compile(r"(?:~|null|Null|NULL|)")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))")


@dataclass
class Node:
    """A value, and the span of its text [start, end) in characters; `end` excludes what follows: comments, newlines."""

    value: Any
    """The scalar; None for a mapping or list."""
    start: int
    end: int
    flow: bool = True
    """Whether it is written on the spot: a scalar, `[...]` or `{...}`, not a block of lines."""
    items: dict[str, tuple[Node, Node]] | None = None
    """Of a mapping: key → (the key's node, the value's)."""
    list: list[Node] | None = None

    def plain(self) -> Any:
        """The whole value as plain Python: dict, list, str, int, float, bool, None."""
        if self.items is not None:
            return {key: child.plain() for key, (_, child) in self.items.items()}
        return [child.plain() for child in self.list] if self.list is not None else self.value


def read(text: str, name: str = "<text>") -> Node:
    """The mapping that `text` holds, not to be changed. Raises RequestError with the dotted path, or `name`:line where
    there is none."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RequestError("yaml.too_large", name, f"more than {MAX_BYTES} bytes")
    if directive := re.search(r"^%.*", text, re.MULTILINE):
        line = text.count("\n", 0, directive.start()) + 1
        raise RequestError("yaml.directive", f"{name}:{line}", "directives are not allowed", hint="remove the line")
    try:
        return _read(text)
    except RequestError:
        return _Reader(text, name).document()  # the same error, by its name


@lru_cache(maxsize=16)  # a campaign reads its baseline at every step, 12 ms each
def _read(text: str) -> Node:
    return _Reader(text, "").document()


@dataclass
class _Reader:
    text: str
    name: str
    path: list[str] = field(default_factory=list)

    def document(self) -> Node:
        try:
            return self._document(YAML(typ="safe", pure=True).parse(self.text))
        except RequestError:
            raise
        except MarkedYAMLError as error:
            inside = re.search("flow|scalar", error.context or "")  # what was begun and never ended
            mark = (error.context_mark if inside else None) or error.problem_mark
            raise self._syntax(str(error.problem or error.context), mark.line if mark else 0) from None
        except Exception as error:  # the parser meets hostile text here, and raises more than its own errors
            message = str(error).strip().split("\n")[0] or type(error).__name__
            position = getattr(error, "position", None)  # of a character that YAML doesn't allow
            line = self.text.count("\n", 0, position) if isinstance(position, int) else 0
            raise self._syntax(message, line) from None

    def _document(self, events: Iterator[Event]) -> Node:
        next(events)  # the stream's start
        if isinstance(next(events), StreamEndEvent):
            raise RequestError("yaml.not_a_mapping", self.name, "empty; a recipe is a mapping of keys to values")
        node = self._node(next(events), events)
        if not isinstance(next(events), DocumentEndEvent) or not isinstance(next(events), StreamEndEvent):
            raise RequestError("yaml.documents", self.name, "more than one document", hint="one recipe, one file")
        if node.items is None:
            raise RequestError("yaml.not_a_mapping", self.name, "a recipe is a mapping of keys to values")
        return node

    def _node(self, event: Event, events: Iterator[Event]) -> Node:
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            raise self._error("yaml.alias", event, "anchors and aliases are not allowed", hint="write the value out")
        if (tag := getattr(event, "tag", None)) is not None:
            raise self._error("yaml.tag", event, f"tags are not allowed: {tag}", hint="remove the tag")
        if isinstance(event, ScalarEvent):
            return Node(
                self._scalar(event), event.start_mark.index, event.end_mark.index, event.style not in ("|", ">")
            )
        assert isinstance(event, CollectionStartEvent)
        if len(self.path) >= MAX_DEPTH:
            raise self._error("yaml.too_deep", event, f"nested more than {MAX_DEPTH} deep")
        return self._mapping(event, events) if isinstance(event, MappingStartEvent) else self._list(event, events)

    def _mapping(self, start: MappingStartEvent, events: Iterator[Event]) -> Node:
        items: dict[str, tuple[Node, Node]] = {}
        end = start.end_mark.index
        while not isinstance(event := next(events), MappingEndEvent):
            key = self._key(event)
            if key in items:
                self.path.append(key)
                first = self.text.count("\n", 0, items[key][0].start) + 1
                raise self._error("yaml.duplicate_key", event, f"given twice, first in line {first}")
            self.path.append(key)
            child = self._node(next(events), events)
            self.path.pop()
            at = Node(key, event.start_mark.index, event.end_mark.index)
            if child.start == child.end:  # nothing behind the colon: the parser puts it after the comments that follow
                child.start = child.end = self.text.find(":", at.end) + 1
            items[key] = at, child
            end = max(at.end, child.end)
        flow = bool(start.flow_style)
        return Node(None, start.start_mark.index, event.end_mark.index if flow else end, flow, items=items)

    def _list(self, start: CollectionStartEvent, events: Iterator[Event]) -> Node:
        children: list[Node] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            self.path.append(str(len(children)))
            children.append(self._node(event, events))
            self.path.pop()
        flow = bool(start.flow_style)
        end = event.end_mark.index if flow or not children else children[-1].end
        return Node(None, start.start_mark.index, end, flow, list=children)

    def _key(self, event: Event) -> str:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            self._node(event, iter(()))  # refuses them by name
        if not isinstance(event, ScalarEvent):
            raise self._error("yaml.bad_key", event, "keys are strings, got a list or mapping")
        key = self._scalar(event)
        if not isinstance(key, str):
            raise self._error("yaml.bad_key", event, f"keys are strings, got {key!r}")
        if key == "<<" and event.style is None:
            raise self._error("yaml.merge", event, "merge keys are not allowed", hint="write the values out")
        return key

    def _scalar(self, event: ScalarEvent) -> Any:
        text: str = event.value
        if event.style is not None:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text[0] in "tT"
        if _INT.fullmatch(text):
            value = int(text, 0 if text[1:2] in ("o", "x") else 10) if len(text) <= 24 else 1 << 63
            if not -(1 << 63) <= value < 1 << 63:
                raise self._error("yaml.too_large_number", event, f"{text:.40} does not fit 64 bits")
            return value
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            number = float(text.replace(".", "") if _NOT_FINITE.fullmatch(text) else text)
            if not math.isfinite(number):
                raise self._error("yaml.not_finite", event, f"{text:.40} is not a finite number")
            return number
        return text

    def _error(self, code: str, event: Event, message: str, hint: str = "") -> RequestError:
        line = event.start_mark.line + 1
        return RequestError(code, ".".join(self.path) or self.name, f"{message} (line {line})", hint=hint)

    def _syntax(self, message: str, line: int) -> RequestError:
        """The error with the path of the field in `line` (from 0), as far as the indentation tells."""
        open_keys: list[tuple[int, str]] = []
        for text in self.text.split("\n")[: line + 1]:
            if found := re.match(r"( *)([A-Za-z_]\w*):", text):
                indent = len(found[1])
                open_keys = [*(pair for pair in open_keys if pair[0] < indent), (indent, found[2])]
        path = ".".join(key for _, key in open_keys)
        return RequestError("yaml.syntax", path or self.name, f"{message} (line {line + 1})")
