"""The page's HTML, whole: style, scripts and, in a file, the views are in it, and nothing else is ever loaded.

What others wrote is data in it: JSON in which no character is left that could end the element it stands in. The policy
in its head lets run what is in the assets, by digest, and nothing that a text might add. May not: read the ledger.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from foundry.core.files import as_document

SCRIPTS = ("text.js", "plots.js", "table.js", "page.js", "start.js")
ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@cache
def _asset(name: str) -> str:
    return (resources.files("foundry.interface.web") / "assets" / name).read_text("utf-8")


@cache
def style() -> str:
    return _asset("uPlot.min.css") + _asset("foundry.css")


@cache
def script() -> str:
    """uPlot under its licence, then our own."""
    licence = _asset("uPlot.LICENSE").replace("*/", "* /")
    return "\n".join((f"/*!\n{licence}*/", _asset("uPlot.iife.min.js"), *map(_asset, SCRIPTS)))


def policy(live: bool) -> str:
    """The content security policy: our style and script by digest, our own server where there is one, nothing else."""
    parts = {
        "default-src": "'none'",
        "script-src": _digest(script()),
        "style-src": _digest(style()),
        "img-src": "data:",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def html(views: dict[str, Any] | None = None) -> str:
    """The page as a file with these views, or without any: then it asks the server that it came from."""
    data = "" if views is None else f'<script type="application/json" id="views">{to_text(views)}</script>'
    filled = {"policy": policy(views is None), "style": style(), "script": script(), "views": data}
    whole = _asset("page.html")
    parts = whole.split("{{")
    return parts[0] + "".join(filled[name] + rest for name, _, rest in (part.partition("}}") for part in parts[1:]))


def to_text(views: dict[str, Any]) -> str:
    """JSON that is nothing but text to HTML. Raises ValueError for what is no number."""
    plain = as_document(views)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(ESCAPED)
