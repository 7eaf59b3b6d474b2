"""Configs of workspace code that may not run here: what a file says of its fields, read as text.

The class that a sealed config derives from is the one that the file's `Config` names, where that is in the package; its
fields and checks are then known. Fields of the file's own are taken as they are given, with their defaults where those
are literals; the sandbox checks them when it builds the part. May not: import the file, build anything.
"""

from __future__ import annotations

import ast
import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from foundry.core.code import parsed
from foundry.core.errors import RequestError
from foundry.core.fingerprint import file_fingerprint


def sealed(base: type[BaseModel], name: str, at: str, path: Path) -> type[Any]:
    """A config for the workspace file `path` below the slot's `base`; module `name`. Raises RequestError."""
    return _sealed(base, name, at, path, file_fingerprint(path))


@cache
def _sealed(base: type[BaseModel], name: str, at: str, path: Path, stamp: str) -> type[Any]:
    del stamp  # another content is another class
    tree = parsed(path, "Config")
    config = next((s for s in tree.body if isinstance(s, ast.ClassDef) and s.name == "Config"), None)
    parent = _named_base(tree, config) if config is not None else None
    parent = parent if isinstance(parent, type) and issubclass(parent, base) else base
    defaults = _literal_defaults(config) if config is not None else {}
    if taken := sorted(name for name in defaults.keys() - parent.model_fields.keys() if hasattr(parent, name)):
        message = f"its Config has a field '{taken[0]}', which every Config has a method of that name for"
        raise RequestError("code.field_taken", str(path), message, got=taken[0], hint="give the field another name")

    def refuse(self: BaseModel, *arguments: Any, **named: Any) -> Any:
        raise RequestError("code.sealed", at, f"{path.name} is code from the workspace, and runs in a sandbox only")

    body: dict[str, Any] = {
        "__module__": name,
        "__annotations__": dict.fromkeys(defaults, Any),
        **defaults,
        **dict.fromkeys(getattr(base, "__abstractmethods__", ()), refuse),
        "model_config": ConfigDict(extra="allow"),
        "sealed": True,
        "population": False,
    }
    metaclass: Any = type(parent)
    return metaclass("Config", (parent,), body)


def _named_base(tree: ast.Module, config: ast.ClassDef) -> Any:
    """The package's own class that `class Config(<here>)` names, or None."""
    names: dict[str, tuple[str, ...]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names |= {alias.asname or alias.name: (statement.module, alias.name) for alias in statement.names}
    path = ast.unparse(config.bases[0]).split(".") if config.bases else []
    if not path or path[0] not in names or not all(part.isidentifier() for part in path):
        return None
    module, name = names[path[0]]
    if not module.startswith("foundry."):
        return None
    try:
        try:
            found: Any = importlib.import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            found = getattr(importlib.import_module(module), name)
        for part in path[1:]:
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found


def _literal_defaults(config: ast.ClassDef) -> dict[str, Any]:
    """Field → default, of the class's own fields whose default is written out: `x: int = 3` or `= Field(3, ge=1)`."""
    defaults: dict[str, Any] = {}
    for line in config.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            value = line.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "Field" and value.args:
                value = value.args[0]
            if "ClassVar" not in ast.unparse(line.annotation) and not line.target.id.startswith(("_", "model_")):
                try:
                    default = ast.literal_eval(value)
                    json.dumps(default, ensure_ascii=False, allow_nan=False).encode()  # a recipe holds nothing else
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue
                defaults[line.target.id] = default
    return defaults
