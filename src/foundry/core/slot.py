"""A slot is a folder of interchangeable parts: kind = file name.

Listing kinds and reading their one-line explanations imports nothing; a kind is imported when it is used.
Agents add kinds in `workspace/modules/<slot>/`, under the same relative path as in the package. Where their code may
not run (see `code.py`), their configs are sealed: the fields as they are written, and nothing that can be built.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BeforeValidator, field_validator

from foundry.core import code, places
from foundry.core.config_stub import sealed
from foundry.core.errors import RequestError, shown
from foundry.core.section import Section, validate

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
LONGEST_KIND = 64


class PartConfig(Section):
    """The base of every part's config. `kind` is the name of the file that the config lives in."""

    population: ClassVar[bool] = True
    """Whether the part is right with a leading population axis on its parameters; where not, its runs train alone."""

    sealed: ClassVar[bool] = False
    """Whether this stands for workspace code that this process may not run: it has fields, and builds nothing."""

    kind: str = ""

    def alike(self, context: int, layers: int, steps: int) -> PartConfig:
        """The plainest config that trains as this one does in a model of this context and depth over so many steps;
        itself, unless its own file says better."""
        return self

    def join(self, model: Any) -> None:
        """What a part of a slot that the model doesn't know by name does to a finished model: it may wrap modules, with
        parameters of its own too."""

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

    name: the folder below `modules/` (or `folder`, in another room); at: the dotted path in a recipe; short: how files
    of mutated recipes are named; what: one line for people.
    """

    name: str
    at: str
    short: str
    what: str
    folder: str = ""
    unnamed: tuple[str, ...] = ()
    """Kinds that a mutation can't name: they need fields that have no default."""

    @property
    def section(self) -> str:
        return self.at.partition(".")[0]

    @property
    def field_name(self) -> str:
        return self.at.partition(".")[2]

    @property
    def relative(self) -> str:
        return self.folder or f"modules/{self.name}"

    def kinds(self) -> list[str]:
        """All kinds, built in and from the workspace, sorted. Imports nothing."""
        roots = (_PACKAGE_ROOT, places.workspace())
        files = [file for root in roots for file in (root / self.relative).glob("*.py") if file.is_file()]
        return sorted({file.stem for file in files if _is_kind(file.stem)})

    def path(self, kind: str) -> Path:
        """The file of `kind`; the package's own wins over the workspace's. Raises RequestError."""
        for root in (_PACKAGE_ROOT, places.workspace()) if _is_kind(kind) else ():
            if (file := root / self.relative / f"{kind}.py").is_file():  # a listing would cost most of a recipe's load
                return file
        raise RequestError("recipe.unknown_kind", self.at, f"no '{kind:.80}'", got=kind, choices=self.kinds())

    def describe(self, kind: str) -> str:
        """The first line of the file's docstring, read as text."""
        try:
            doc = ast.get_docstring(code.syntax(self.path(kind))) or ""
        except RequestError as error:  # an agent's file; the list of kinds is shown all the same
            return f"(can't be read: {error.message})"
        return doc.split("\n", 1)[0]

    def is_builtin(self, kind: str) -> bool:
        return self.path(kind).is_relative_to(_PACKAGE_ROOT)

    def config(self, kind: str) -> type[PartConfig]:
        """The `Config` class of `kind`, imported now; a sealed one for workspace code that this process may not run.
        Raises RequestError when the file has none."""
        path, package = self.path(kind), self.relative.replace("/", ".")
        if self.is_builtin(kind):
            module = importlib.import_module(f"foundry.{package}.{kind}")
        elif code.is_admitted():
            module = code.import_file(f"foundry_workspace.{package}.{kind}", path)
        else:
            return sealed(self._base(package), f"foundry_workspace.{package}.{kind}", self.at, path)
        config = getattr(module, "Config", None)
        if not (isinstance(config, type) and issubclass(config, PartConfig)):
            raise RequestError("slot.no_config", str(path), "defines no class Config(PartConfig)")
        return config

    def _base(self, package: str) -> type[PartConfig]:
        """The abstract config that the slot's own folder defines."""
        names = vars(importlib.import_module(f"foundry.{package}")).values()
        own = (one for one in names if isinstance(one, type) and one.__module__ == f"foundry.{package}")
        (base,) = (one for one in own if issubclass(one, PartConfig))
        return base

    def parse(self, value: Any) -> PartConfig:
        """`gqa` or `{kind: gqa, ...}` as that kind's config. Raises RequestError with the path in the recipe."""
        if isinstance(value, PartConfig):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            given = value.get("kind") if isinstance(value, dict) else value
            message = f"name a kind, got {shown(given)}" if given is not None else "name a kind"
            raise RequestError("recipe.no_kind", f"{self.at}.kind", message, got=given, choices=self.kinds())
        return validate(self.config(value["kind"]), value, self.at)

    def field(self) -> BeforeValidator:
        """The pydantic validator of a recipe field that holds a part of this slot."""
        return BeforeValidator(self.parse)


def _is_kind(stem: str) -> bool:
    return stem.isidentifier() and not stem.startswith("_") and len(stem) <= LONGEST_KIND
