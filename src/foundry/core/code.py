"""Code from the workspace: which processes may import it. By default none does.

An agent's code can do whatever its process can. So the process that keeps the ledger, the one that holds judged text,
and the one that a person types into never import it: they know it by its name, its fields and its hash. A process that
has nothing to lose admits it, once and for good. May not: import workspace code without being told to.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.core.fingerprint import file_fingerprint

MAX_BYTES = 256 * 1024
MAX_DEPTH = 100
"""Of the syntax tree, each level of which costs whoever walks it several frames. Honest parts need 17 at most."""
_admitted = False


def admit() -> None:
    """From now on this process imports code from the workspace. For processes that are confined, and for tests."""
    global _admitted
    _admitted = True


def is_admitted() -> bool:
    return _admitted


def parsed(path: Path, name: str) -> ast.Module:
    """A workspace file read as text: it must be Python and define `name`. Raises RequestError with the line."""
    tree = syntax(path)
    if not any(name in _defined(statement) for statement in tree.body):
        raise RequestError("code.no_class", str(path), f"defines no class {name}")
    return tree


def syntax(path: Path) -> ast.Module:
    """The file's syntax tree, bounded in size and depth. Raises RequestError, whatever the file is."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RequestError("code.too_large", str(path), f"{path.stat().st_size} bytes; at most {MAX_BYTES}")
        tree = ast.parse(path.read_bytes())
    except OSError as error:
        raise RequestError("code.no_file", str(path), str(error.strerror)) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        raise RequestError("code.syntax", where, f"{type(error).__name__}: {error}") from None
    depth = 0
    level: list[ast.AST] = [tree]
    while level := [child for node in level for child in ast.iter_child_nodes(node)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise RequestError("code.too_deep", str(path), f"nested more than {MAX_DEPTH} deep")
    return tree


def _defined(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.ClassDef):
        return {statement.name}
    names = [alias.asname or alias.name for alias in getattr(statement, "names", []) if isinstance(alias, ast.alias)]
    return {*names, *(target.id for target in getattr(statement, "targets", []) if isinstance(target, ast.Name))}


def import_file(name: str, path: Path) -> Any:
    """Import one workspace file as module `name`, again whenever its content has changed.

    Raises RequestError: `code.not_admitted` where workspace code may not run, `code.import_failed` for whatever the
    file itself raises.
    """
    if not _admitted:
        raise RequestError("code.not_admitted", str(path), "code from the workspace doesn't run in this process")
    stamp = file_fingerprint(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__foundry_stamp__", None) == stamp:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever an agent's file does when imported
        sys.modules.pop(name, None)
        raise RequestError("code.import_failed", str(path), f"{type(error).__name__}: {error}") from error
    module.__dict__["__foundry_stamp__"] = stamp
    return module
