"""A slot is a folder of interchangeable parts: kind = file name.

Listing kinds and reading their one-line explanations imports nothing; a kind is imported when it is used.
Agents add kinds in `workspace/modules/<slot>/`, under the same relative path as in the package.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator, field_validator

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.core.fingerprint import file_fingerprint
from foundry.core.section import Section, validate

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


class PartConfig(Section):
    """The base of every part's config. `kind` is the name of the file that the config lives in."""

    kind: str = ""

    @field_validator("kind", mode="after")
    @classmethod
    def _kind_is_the_file_name(cls, kind: str) -> str:
        stem = cls.__module__.rsplit(".", 1)[-1]
        if kind not in ("", stem):
            raise ValueError(f"this is the config of kind '{stem}'")
        return stem


@dataclass(frozen=True)
class Slot:
    """One swappable place in the recipe.

    name: the folder below `modules/` (or another room's folder); at: the dotted path in a recipe; base: the
    abstract config that every kind's `Config` derives from.
    """

    name: str
    at: str
    folder: str = ""

    @property
    def relative(self) -> str:
        return self.folder or f"modules/{self.name}"

    def kinds(self) -> list[str]:
        """All kinds, built in and from the workspace, sorted. Imports nothing."""
        stems = {p.stem for root in (_PACKAGE_ROOT, places.workspace()) for p in (root / self.relative).glob("*.py")}
        return sorted(stem for stem in stems if not stem.startswith("_"))

    def path(self, kind: str) -> Path:
        """The file of `kind`; the package's own wins over the workspace's. Raises RequestError."""
        for root in (_PACKAGE_ROOT, places.workspace()):
            path = root / self.relative / f"{kind}.py"
            if kind.isidentifier() and not kind.startswith("_") and path.is_file():
                return path
        raise RequestError("recipe.unknown_kind", self.at, f"no '{kind}'", got=kind, choices=self.kinds())

    def describe(self, kind: str) -> str:
        """The first line of the file's docstring, read as text."""
        doc = ast.get_docstring(ast.parse(self.path(kind).read_text())) or ""
        return doc.split("\n", 1)[0]

    def is_builtin(self, kind: str) -> bool:
        return self.path(kind).is_relative_to(_PACKAGE_ROOT)

    def source_hash(self, kind: str) -> str | None:
        """The fingerprint of a workspace kind's source; None for a built-in one, whose identity is the version."""
        return None if self.is_builtin(kind) else file_fingerprint(self.path(kind))

    def config(self, kind: str) -> type[PartConfig]:
        """The `Config` class of `kind`, imported now. Raises RequestError when the file has none."""
        path = self.path(kind)
        if self.is_builtin(kind):
            module = importlib.import_module(f"foundry.{self.relative.replace('/', '.')}.{kind}")
        else:
            module = _import_file(f"foundry_workspace.{self.relative.replace('/', '.')}.{kind}", path)
        config = getattr(module, "Config", None)
        if not (isinstance(config, type) and issubclass(config, PartConfig)):
            raise RequestError("slot.no_config", str(path), "defines no class Config(PartConfig)")
        return config

    def parse(self, value: Any) -> PartConfig:
        """`gqa` or `{kind: gqa, ...}` as that kind's config. Raises RequestError with the path in the recipe."""
        if isinstance(value, PartConfig):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise RequestError(
                "recipe.no_kind", f"{self.at}.kind", "name a kind", got=str(value)[:80], choices=self.kinds()
            )
        return validate(self.config(value["kind"]), value, self.at)

    def field(self) -> BeforeValidator:
        """The pydantic validator of a recipe field that holds a part of this slot."""
        return BeforeValidator(self.parse)


def _import_file(name: str, path: Path) -> Any:
    """Import one workspace file under `name`, again whenever its content has changed."""
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
    except Exception as error:
        sys.modules.pop(name, None)
        raise RequestError("slot.import_failed", str(path), f"{type(error).__name__}: {error}") from error
    module.__dict__["__foundry_stamp__"] = stamp
    return module


