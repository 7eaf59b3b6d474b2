"""A clause of a slot's contract, what breaking one raises, and those that hold in every slot. May not: know a slot."""

from __future__ import annotations

import ast
from collections.abc import Callable

from foundry.core import code, yaml_io
from foundry.core.errors import RequestError, WorkError
from foundry.core.slot import PartConfig, Slot

MAX_LINES = 150
REQUIRED: dict[str, dict[str, object]] = {"attention": {"heads": 4}, "optimizer": {"lr": 0.02}}
"""Values of the fields without a default that a slot's base has; a kind's own fields need defaults."""

Clause = Callable[[Slot, str], None]


class ContractError(WorkError):
    """A part that breaks a clause; `clause` is the name of the function that found it."""

    def __init__(self, clause: str, slot: Slot, kind: str, message: str) -> None:
        super().__init__("contract.broken", f"{slot.name}:{kind}", f"{clause}: {message}")
        self.clause = clause


def example(slot: Slot, kind: str, **fields: object) -> PartConfig:
    """The kind's config with its defaults, but for `fields`."""
    return slot.parse({"kind": kind, **REQUIRED.get(slot.name, {}), **fields})


def check_file_explains_itself(slot: Slot, kind: str) -> None:
    """The file starts with a docstring that says what the part is and what it may not do, and fits in a few screens.

    Hint: begin the file with a docstring: what it is, its source, and 'May not: …'; keep it under 150 lines.
    """
    clause, path = "check_file_explains_itself", slot.path(kind)
    text = path.read_text()
    if "May not" not in (ast.get_docstring(code.syntax(path)) or ""):
        raise ContractError(clause, slot, kind, f"{path.name}'s docstring must say what it is for and 'May not: …'")
    if (lines := len(text.splitlines())) >= MAX_LINES:
        raise ContractError(clause, slot, kind, f"{path.name} has {lines} lines; fewer than {MAX_LINES}, please")


def check_defaults_build(slot: Slot, kind: str) -> None:
    """Every field that is the kind's own has a default.

    Hint: give every field of Config that is your own a default value.
    """
    try:
        example(slot, kind)
    except RequestError as error:
        raise ContractError("check_defaults_build", slot, kind, str(error)) from error


def check_round_trip(slot: Slot, kind: str) -> None:
    """Config → plain data → YAML → config gives an equal config, and an unknown key is refused by name.

    Hint: use plain fields (int, float, str, bool, list) with limits by pydantic.Field, and let unknown keys be refused.
    """
    clause = "check_round_trip"
    config = example(slot, kind)
    plain = config.model_dump(mode="json")
    again = slot.parse(yaml_io.parse(yaml_io.updated("", plain)))
    if again != config:
        raise ContractError(clause, slot, kind, f"{config} came back from YAML as {again}")
    try:
        slot.parse({**plain, "no_such_key": 1})
    except RequestError as error:
        if error.path != f"{slot.at}.no_such_key":
            raise ContractError(clause, slot, kind, f"an unknown key is blamed on '{error.path}'") from error
    else:
        raise ContractError(clause, slot, kind, "an unknown key is accepted")


COMMON: tuple[Clause, ...] = (check_file_explains_itself, check_defaults_build, check_round_trip)
