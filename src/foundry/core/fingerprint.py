"""Identity by content: equal values have equal fingerprints in every process, on every machine.

What has no identity that holds across processes (functions, objects, sets, NaN) raises.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.core.errors import WorkError

LENGTH = 32  # hex digits: 128 bits, so that a collision can't be made on purpose


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, the first 32 hex digits. Raises WorkError `core.no_identity`."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, the first 32 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]


def bytes_fingerprint(data: bytes) -> str:
    """SHA-256 of bytes, the first 32 hex digits: what `file_fingerprint` gives a file that holds them."""
    return hashlib.sha256(data).hexdigest()[:LENGTH]


def canonical(value: Any, path: str = "") -> Any:
    """`value` as plain JSON types, checked all the way down. Tuples become lists; 1 and 1.0 stay different."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value + 0.0  # -0.0 is 0.0
    if isinstance(value, (list, tuple)):
        return [canonical(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _no_identity(path, key)
        return {key: canonical(item, f"{path}.{key}" if path else key) for key, item in value.items()}
    raise _no_identity(path, value)


def _no_identity(path: str, value: Any) -> WorkError:
    return WorkError(
        "core.no_identity",
        path,
        f"{type(value).__name__} {value!r:.60} has no identity that holds across processes",
        hint="use finite numbers, strings, lists and mappings with string keys",
    )
