"""Which code a result comes from: fingerprints of the package's files by their syntax, so that a comment, a docstring
or a line's layout changes nothing. May not: import what it reads.
"""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from foundry.core.fingerprint import bytes_fingerprint

ROOT = Path(__file__).resolve().parent.parent
"""The package's folder; files are named by their path below it."""

Code = dict[str, str]
"""File below the package, or library → fingerprint of the file's syntax, or the library's version."""


@cache
def code_of(roots: tuple[str, ...], rooms: tuple[str, ...] = (), libraries: tuple[str, ...] = ()) -> Code:
    """The files of `roots`, and what they import, as far as it lies in `rooms` (folders or files). As it was when this
    process first asked: it runs what it has imported.

    A kind of a slot is imported by its name in a recipe, so it has to be a root.
    """
    found: Code = {}
    waiting = list(roots)
    while waiting:
        file = waiting.pop()
        if file not in found:
            tree = ast.parse((ROOT / file).read_bytes())
            waiting += [name for name in _imported(tree) if name.startswith(rooms)]
            found[file] = _fingerprint(tree)
    return {**dict(sorted(found.items())), **{name: importlib.metadata.version(name) for name in libraries}}


def is_file(name: str) -> bool:
    """Whether the package has this file."""
    return (ROOT / name).is_file()


def changed(code: Code) -> list[str]:
    """What of a recorded code is another today, or gone."""
    return [name for name, known in code.items() if known != _today(name)]


@cache
def _today(name: str) -> str:
    if not name.endswith(".py"):
        return importlib.metadata.version(name)
    return _fingerprint(ast.parse((ROOT / name).read_bytes())) if is_file(name) else ""


def _fingerprint(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = list(_without_docstrings(node.body)) or [ast.Pass()]
    return bytes_fingerprint(ast.unparse(tree).encode("utf-8", "surrogatepass"))


def _without_docstrings(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements but strings that stand alone: docstrings, and those of fields."""
    for statement in body:
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield statement


def _imported(tree: ast.Module) -> Iterator[str]:
    """The package's files that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("foundry."):
                path = name.removeprefix("foundry.").replace(".", "/")
                yield from filter(is_file, (f"{path}.py", f"{path}/__init__.py"))
