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
            found[file], imported = _look(file)
            waiting += [name for name in imported if name.startswith(rooms)]
    return {**dict(sorted(found.items())), **{name: _version(name) for name in libraries}}


@cache  # by file: of combinations of kinds there is no end, and each would have most of its files in common
def _look(file: str) -> tuple[str, tuple[str, ...]]:
    """A file's fingerprint, and what it imports of the package."""
    tree = ast.parse((ROOT / file).read_bytes())
    imported = tuple(_imported(tree))
    return _fingerprint(tree), imported


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)


def is_file(name: str) -> bool:
    """Whether the package has this file."""
    return (ROOT / name).is_file()


def changed(code: Code) -> list[str]:
    """What of a recorded code is another today, or gone."""
    return [name for name, known in code.items() if known != _today(name)]


def _today(name: str) -> str:
    if not name.endswith(".py"):
        return _version(name)
    return _look(name)[0] if is_file(name) else ""


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
