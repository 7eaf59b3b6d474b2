"""What reaches a terminal, and what a lost one costs: nothing is obeyed, nothing lost, nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from foundry.campaign.journal import LedgerSuggestions
from foundry.core.files import as_json
from foundry.documents import campaign, recipes, runs
from foundry.interface import terminal
from foundry.interface.answer import answer
from foundry.interface.cli import app, main
from foundry.interface.terminal import shown, table
from foundry.ledger.ledger import Ledger
from tests.home import write_tiny

SMALL = ("--judged-bytes", "2048", "--device", "cpu")
MARKUP = ["no [/proc] here", "[bold]", "[/y]", "a[-c].txt", "init:zero", ":smile:", "[link=x]"]
HOSTILE = [*MARKUP, "\x1b[31mred", "\x9b2J", "a\u202eb", "\x07bell"]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_shown_as_it_is_and_never_obeyed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    trial = {"mutation": text, "by": text, "status": "failed", "reason": text, "budget_share": 1.0}
    proposal = {"mutation": text, "who": text, "status": "refused", "result": {"reason": text}}
    row = {"run": "a" * 32, "recipe": "b" * 32, "name": text, "seed": 1, "status": "failed", "reason": text}
    totals = {"trials": 1, "trials_by_status": {}, "certifications_by_verdict": {}, "proposals_by_status": {}}
    recipe = {"recipe": text, "name": text, "content": {text: {text: text}}, "sources": {text: {"file": text}}}
    family = {"family": text, "what": text, "variants": [{"name": text, "what": text}], "also": text}
    history = {
        "trials": [trial],
        "certifications": [],
        "families": [],
        "proposals": [proposal],
        "totals": totals,
        "asked": [],
    }
    table(text, (text, "gain"), [(text, text)])
    for document in (
        runs.Diff.from_dict({"edits": [{"path": text, "old": text, "new": text}]}),
        runs.Log.from_dict({"runs": [row], "weights": {"runs": 1, "bytes": 1}}),
        runs.RecipeShown.from_dict(recipe),
        recipes.Kinds(slots={text: {text: text}}, workspace={}),
        recipes.Catalogue.from_dict({"families": [family]}),
        campaign.History.from_dict(history),
    ):
        answer(document, as_json=False)
    printed = capsys.readouterr().out
    assert shown(printed) == printed
    assert printed.count(shown(text)) >= 12


def test_numbers_beyond_what_a_double_holds_are_strings_in_json() -> None:
    document = {"seed": 2**53 + 1, "deep": [{"n": -(2**60)}], "small": 2**53, "yes": True, "real": 1e300}
    assert as_json(document) == {**document, "seed": str(2**53 + 1), "deep": [{"n": str(-(2**60))}]}


def test_a_narrow_terminal_is_told_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table("", ("run", "recipe", "bits per byte"), [("0123456789ab", "a recipe of a long name", "1.2345")])
    printed = capsys.readouterr().out
    assert "0123456789ab" in printed and "1.2345" in printed and "…" not in printed


@pytest.mark.parametrize("columns", [80, 66])
def test_the_log_at_80_columns_breaks_no_id_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(terminal.console, "_width", columns)  # which was read as it was made
    common = {"recipe": "b" * 32, "seed": 2**62 + 12345678, "tokens": 1_843_200, "seconds": 1234.5}
    ends = [("failed", "timeout", None, None), ("done", None, None, 3.5658), ("trained", None, 3.7053, 3.5)]
    rows = [
        {**common, "run": f"{i}123456789abcdef", "name": "position:rope+set:train.optimizer.lr=2e-3", "status": status,
         "reason": reason, "val_bpb": bpb, "certification_bpb": certified}
        for i, (status, reason, bpb, certified) in enumerate(ends)
    ]  # fmt: skip
    answer(runs.Log.from_dict({"runs": rows, "weights": {"runs": 0, "bytes": 0}}), as_json=False)
    printed = capsys.readouterr().out
    words = printed.split()
    for row in rows:
        assert row["run"][:12] in words
    assert words.count("1,843,200") == words.count("1234.5") == 3 and {"timeout", "trained"} < set(words)
    assert "3.5658*" in words and "3.7053" in words and "* bits per byte of certification text" in printed
    assert max(map(len, printed.splitlines()[:-1])) <= columns


def foundry(*arguments: str, stdout: Any = subprocess.PIPE, **more: Any) -> subprocess.Popen[Any]:
    command = [sys.executable, "-m", "foundry", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, **more)


READS = [("kinds",), ("log",), ("mutate",), ("history", "--json")]
WORKS = ("train", "experiments/baseline.yaml", *SMALL)


@pytest.mark.parametrize("arguments", [*READS, WORKS], ids=lambda arguments: arguments[0])
def test_a_reader_that_leaves_is_no_failure(home: Path, arguments: tuple[str, ...]) -> None:
    process = foundry(*arguments)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0 and b"Traceback" not in said


@pytest.mark.parametrize("arguments", [*READS, WORKS], ids=lambda arguments: arguments[0])
def test_a_full_disk_behind_stdout_is_said_in_a_line_and_the_work_is_kept(
    home: Path, arguments: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        process = foundry(*arguments, stdout=full)
    said = process.communicate()[1].decode()
    assert process.returncode == 1 and "Traceback" not in said and "[os.stdout]" in said.splitlines()[-1]
    if arguments == WORKS:
        done = foundry("log", "--json").communicate()[0]
        assert [row["status"] for row in json.loads(done)["runs"]] == ["done"]


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("arguments", [("kinds",), WORKS], ids=lambda arguments: arguments[0])
def test_without_stdout_or_stderr_it_works_all_the_same(
    home: Path, arguments: tuple[str, ...], closed: tuple[int, ...]
) -> None:
    assert foundry(*arguments, preexec_fn=lambda: [os.close(number) for number in closed]).wait() == 0
    if arguments == WORKS:
        ledger = Path("runs/ledger.db").read_bytes()
        assert b"Traceback" not in ledger and ledger.startswith(b"SQLite format 3")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("arguments", [("mutate",), ("kinds",), ("--help",), ("train", "nichts·da.yaml")])
def test_a_small_alphabet_ends_nothing(
    home: Path, arguments: tuple[str, ...], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    process = foundry(*arguments)
    said = process.communicate()[1]
    assert b"Traceback" not in said and process.returncode == (2 if arguments[0] == "train" else 0)


def commands(command: Any, path: tuple[str, ...] = ()) -> Any:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from commands(each, (*path, name))
    else:
        yield path, command


NUMBERS = [
    (command, parameter)
    for path, command in commands(typer.main.get_command(app))
    for parameter in command.params
    if parameter.type_descriptor.annotation in (int, float)
]


@pytest.mark.parametrize(("command", "parameter"), NUMBERS, ids=lambda each: each.name)
def test_every_number_has_a_range_that_is_kept(command: Any, parameter: Any) -> None:
    given = parameter.type_descriptor.parameter_info
    assert given.min is not None and given.max is not None, f"{command.name} {parameter.opts}: no range"
    needed = ["x" for each in command.params if each.param_type_name == "argument" and each.required]

    def parsed(value: Any) -> Any:
        return command.make_context("x", [*needed, f"{parameter.opts[0]}={value}"]).params[parameter.name]

    assert (parsed(given.min), parsed(given.max)) == (given.min, given.max)
    for beyond in (given.min - 1, given.max * 2 + 1, "1e400", "nan", "-inf", "x", ""):
        with pytest.raises(TyperException):
            parsed(beyond)


@pytest.mark.parametrize(
    "arguments",
    [
        *(("train", "experiments/baseline.yaml", "--judged-bytes", n) for n in ("0", "-5", "1", "x")),
        *(("train", "experiments/baseline.yaml", "--memory-gb", n) for n in ("nan", "-1", "inf")),
        ("train", "experiments/baseline.yaml", "--wall-seconds", "0"),
        *(("sweep", "norm:rmsnorm", "--seeds", n) for n in ("0", str(2**63), "100000000000000000000", "100000000")),
        *(("train", "experiments/baseline.yaml", "--seed", n) for n in ("-1", str(2**63))),
        ("compare", "experiments/baseline.yaml", "experiments/baseline.yaml", "--seeds", f"1,2,{2**63}"),
        ("campaign", "--q", "nan"),
    ],
    ids=lambda arguments: " ".join(arguments)[-30:],
)
def test_a_number_out_of_range_is_refused_before_anything_starts(
    home: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert {"code", "path", "got", "choices", "hint", "message"} <= json.loads(printed.out)["error"].keys()
    assert len(printed.err.splitlines()) == 1 and not Path("runs").exists()


def test_a_recipe_of_any_name_is_compared_and_logged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    write_tiny(home / "other.yaml", name="idea [/draft] \\x1b[31m", train__optimizer__lr=2e-3)
    asked = ("experiments/baseline.yaml", "other.yaml", "--max-pairs", "3", "--alpha", "0.2", *SMALL)
    for arguments in (("compare", *asked), ("log",)):
        process = foundry(*arguments)
        out, err = (text.decode() for text in process.communicate())
        assert process.returncode == 0 and "idea [/draft]" in out, err


def test_after_nothing_but_refusals_history_says_what_was_refused_and_why(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open() as ledger:
        number = ledger.proposals.add("norm:rmsnorm", "", "somebody")
        suggestions = LedgerSuggestions(ledger)
        assert [each for each, _ in suggestions.take(1)] == [number]
        suggestions.refuse(number, "it was [turned] down")
    assert main(["history"]) == 0
    printed = capsys.readouterr().out
    assert "norm:rmsnorm, proposed by somebody: it was [turned] down" in printed
    assert "No campaign has tried anything" not in printed
