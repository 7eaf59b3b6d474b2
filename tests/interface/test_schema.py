"""docs/schema.json is what the commands print: made of the documents, and a check on what every test prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from foundry.documents import comparison, runs
from foundry.documents import schema as made
from foundry.documents.document import Document
from foundry.interface import answer, terminal
from foundry.interface.cli import app
from tests import schema
from tests.home import ROOT

KINDS = {"schema": 2, "slots": {"norm": {"rmsnorm": "a norm"}}, "workspace": {}}


def test_the_schema_in_docs_is_made_of_the_documents() -> None:
    assert (ROOT / "docs" / "schema.json").read_text() == made.written(), "python -m foundry.documents.schema"


def test_every_command_has_a_schema_and_every_document_a_printer() -> None:
    commands = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert commands | {group.name for group in app.registered_groups} == set(made.VERBS)
    assert set(answer.PRINTERS) == {each for documents in made.VERBS.values() for each in documents}


@pytest.mark.parametrize(
    ("document", "verb"),
    [
        ({**KINDS, "schema": 1}, "kinds"),
        ({"schema": 2}, "kinds"),
        ({**KINDS, "more": 1}, "kinds"),
        ({"schema": 2, "slots": {"norm": {"rmsnorm": 1}}}, "kinds"),
        ({"schema": 2, "error": {"code": "x"}}, "kinds"),
        (KINDS, "log"),
    ],
)
def test_a_document_that_is_another_than_the_schema_says_is_found_out(document: dict[str, Any], verb: str) -> None:
    schema.check(KINDS, "kinds")
    with pytest.raises(AssertionError, match=verb):
        schema.check(document, verb)


def test_what_is_printed_in_a_test_is_checked_against_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    class Stranger(Document):
        one: int

    with pytest.raises(AssertionError, match="schema"):
        terminal.emit(Stranger(one=1))
    assert capsys.readouterr().out == ""


def test_a_document_read_back_is_itself_and_one_of_an_earlier_version_lacks_what_it_lacks() -> None:
    arm = comparison.Arm(
        name="a", recipe="r", runs=(comparison.ArmRun(run="x", seed=2**60, status="done", val_bpb=1.5),),
        cost=comparison.Cost(tokens=1, flops=2.0, seconds=3.0), budget_tokens=4, budget_flops=5, run_seconds=None,
        reference=comparison.Reference(tokens=1.0, flops=2.0, steps_beyond=0.0),
    )  # fmt: skip
    plain = json.loads(json.dumps(arm.to_dict()))
    assert comparison.Arm.from_dict(plain) == arm and arm["runs"][0]["seed"] == 2**60
    del plain["reference"]
    older = comparison.Arm.from_dict({**plain, "unknown": 1})
    assert older.reference is None and older.runs == arm.runs
    assert runs.Record.from_dict({}) == runs.Record()
