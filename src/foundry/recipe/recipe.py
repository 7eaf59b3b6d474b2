"""The recipe: immutable, validated, with a fingerprint; one YAML file. May not: say where or when it runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from foundry.core import yaml_io
from foundry.core.errors import FoundryError
from foundry.core.fingerprint import file_fingerprint, fingerprint
from foundry.core.paths import get_path
from foundry.core.section import IDENTITY, Section, validate
from foundry.core.slots import SLOTS
from foundry.data.config import DataConfig
from foundry.model import ModelConfig
from foundry.train.config import TrainConfig
from foundry.train.start import InitConfig


class Budget(Section):
    """What a run may use; a comparison in another currency converts it."""

    tokens: int = Field(ge=1)


class Recipe(Section):
    name: str = Field("", max_length=200)
    """A label for people; no part of the identity."""
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    budget: Budget
    init: InitConfig | None = None
    """Weights to begin with; left out, random ones."""

    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        if content.get("init") is None:
            content.pop("init", None)
        return content

    @model_validator(mode="after")
    def _code_begins_at_random(self) -> Self:
        if self.init is not None and self.code_files():
            raise ValueError("code of the workspace's doesn't begin with weights from a file; adopt it first")
        return self

    @model_validator(mode="after")
    def _budget_buys_a_step(self) -> Self:
        if self.budget.tokens < self.step_tokens:
            raise ValueError(
                f"budget.tokens {self.budget.tokens} is less than one step of {self.step_tokens} tokens "
                "(train.batch_size × model.context)"
            )
        return self

    @property
    def step_tokens(self) -> int:
        return self.train.batch_size * self.model.context

    def steps(self, budget_tokens: int | None = None) -> int:
        """Whole steps that a budget of tokens (the recipe's own by default) buys; at least one."""
        return max(1, (budget_tokens or self.budget.tokens) // self.step_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, every default written out."""
        return self.model_dump(mode="json")

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits; the name has no part in it, the source of workspace parts does."""
        content = self.model_dump(mode="json", context=IDENTITY, exclude={"name"})
        return fingerprint({"recipe": content, "sources": self.sources()})

    def code_files(self) -> dict[str, tuple[str, Path]]:
        """Path in the recipe → (path in the workspace, the file), of each part whose code lives there."""
        kinds = {slot: get_path(self.to_dict(), f"{slot.at}.kind") for slot in SLOTS}
        files = {
            slot.at: (f"{slot.relative}/{kind}.py", slot.path(kind))
            for slot, kind in kinds.items()
            if not slot.is_builtin(kind)
        }
        if self.model.code:
            files["model.code"] = (self.model.code_file.name, self.model.code_file)
        return files

    def sources(self) -> dict[str, str]:
        """Path in the recipe → hash of the source, of each part whose code lives in the workspace.

        As it was when first asked, like the fingerprint: whoever reads a file compares it with this.
        """
        return dict(self._sources)

    @cached_property
    def _sources(self) -> dict[str, str]:
        return {at: file_fingerprint(file) for at, (_, file) in self.code_files().items()}

    def on_text(self, source: str) -> Self:
        """The same recipe on another text: its workspace code stays as it was hashed, whatever the file is by now."""
        self.sources()
        other = self.model_copy(update={"data": self.data.model_copy(update={"source": source})})
        vars(other).pop("fingerprint", None)
        return other

    @classmethod
    def from_dict(cls, value: Any, at: str = "") -> Self:
        """A recipe from plain data. Raises RequestError with the path of the first thing that is wrong."""
        return validate(cls, value, at)

    @classmethod
    def load(cls, path: Path | str, text: str | None = None) -> Self:
        """A recipe from a YAML file, of which `text` was read already. Raises RequestError that names the file and the
        path in it."""
        path = Path(path)
        values = yaml_io.load(path) if text is None else yaml_io.parse(text, str(path))
        values.setdefault("name", path.stem)
        try:
            return cls.from_dict(values)
        except FoundryError as error:
            error.message = f"{error.message} [in {path}]" if str(path) not in str(error) else error.message
            raise

    def save(self, path: Path, like: str = "", header: str = "") -> None:
        """Write atomically, with the comments and order of the YAML text `like`."""
        yaml_io.save(path, self.to_dict(), like, header)
