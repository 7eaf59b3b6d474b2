"""A document as a fragment of HTML, for notebooks: what is in it is shown, and never obeyed. May not: know a document
by name, or run a script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

MOST_ROWS = 100
MOST_CHARACTERS = 400


def as_html(name: str, values: Mapping[str, Any]) -> str:
    """name: of the document; values: plain data, as `to_dict` gives."""
    return f"<div><b>{_text(name)}</b>{_object(values)}</div>"


def _object(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th style='text-align:left'>{_text(k)}</th><td>{_value(v)}</td></tr>" for k, v in values.items()
    )
    return f"<table>{rows}</table>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _folded(f"{len(value)} keys", _object(value)) if value else ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(each, Mapping) for each in value):
            return _folded(f"{len(value)} rows", _table(value))
        return _text(", ".join(map(_plain, value)))
    return _text(_plain(value))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row each, of the first `MOST_ROWS`; a column for each key that is in any."""
    shown, columns = rows[:MOST_ROWS], dict.fromkeys(key for row in rows[:MOST_ROWS] for key in row)
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_value(row.get(c))}</td>' for c in columns)}</tr>" for row in shown)
    more = f"<p>and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{_text(summary)}</summary>{inside}</details>"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(text: str) -> str:
    """Escaped; control characters and direction marks are written out."""
    cut = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
    return escape("".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in cut))
