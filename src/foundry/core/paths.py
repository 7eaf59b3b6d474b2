"""Dotted paths into plain data: `model.attention.heads`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foundry.core.errors import RequestError


def get_path(values: dict[str, Any], path: str) -> Any:
    """The value at a dotted path. Raises RequestError `recipe.no_path` with the nearest key."""
    here: Any = values
    walked: list[str] = []
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            part = f" of {'.'.join(walked)} ({here['kind']})" if isinstance(here, dict) and "kind" in here else ""
            choices = sorted(here) if isinstance(here, dict) else ()
            raise RequestError("recipe.no_path", path, f"no field '{key:.80}'{part}", got=key, choices=choices)
        walked.append(key)
        here = here[key]
    return here


def has_path(values: dict[str, Any], path: str) -> bool:
    """Whether there is a value at a dotted path."""
    try:
        get_path(values, path)
    except RequestError:
        return False
    return True


def differences(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of each leaf in which two plain recipes differ; a part of another kind is one leaf."""
    for key in sorted(a.keys() | b.keys()):
        old, new = a.get(key), b.get(key)
        if old == new and type(old) is type(new):
            continue
        path = f"{prefix}{key}"
        if isinstance(old, dict) and isinstance(new, dict) and old.get("kind") == new.get("kind"):
            yield from differences(old, new, f"{path}.")
        else:
            yield path, old, new
