"""What the commands print of one ledger: one thing has one name and one number, and nothing is left unsaid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from foundry.campaign import trial
from foundry.core.errors import REASONS
from foundry.documents.campaign import Campaign
from foundry.interface.cli import main
from foundry.interface.report import flops
from foundry.ledger import queries
from foundry.stats.error_budget import Control
from foundry.stats.verdict import Word
from tests import schema
from tests.home import ROOT

BASELINE = Path("experiments/baseline.yaml")
ELSEWHERE = {"id", "fingerprint", "from_fp", "to_fp", "point", "word", "moves", "gain", "interval", "effect", "claimed",
             "created", "started", "finished", "written", "reverted", "opened", "to", "from"}  # fmt: skip
"""Keys that say what another key says, or leave out a unit."""


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main([*arguments]) == code
    return capsys.readouterr().out


def test_a_promotion_has_one_effect_and_one_id_wherever_it_is_told(
    promoted: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    of_campaign = promoted["promotions"][0]
    name, effect, flattering = (of_campaign[key] for key in ("promotion", "effect_bpb", "flattering_effect_bpb"))
    line = json.loads(said(capsys, "lineage", "--json"))["promotions"][1]
    shown = json.loads(said(capsys, "show", name, "--json"))
    tried = json.loads(said(capsys, "history", "--json"))["certifications"]
    (court,) = (row for row in tried if row["promotion"] == name)
    for told in (line, shown, court):
        assert (told["promotion"], told["comparison"]) == (name, of_campaign["comparison"])
        assert told["flattering_effect_bpb"] == flattering
    assert line["effect_bpb"] == shown["effect_bpb"] == effect and court["effect_bpb"] is None
    comparison = json.loads(said(capsys, "show", of_campaign["comparison"], "--json"))
    assert comparison["remeasured"] is None and comparison["effect_bpb"] == flattering
    for arguments in (("lineage",), ("history",), ("show", name)):
        printed = said(capsys, *arguments)
        assert name[:12] in printed and f"{flattering:+.4f}" in printed
        assert "that decided, which flatter" in " ".join(printed.split())


def test_history_says_why_each_went_out_and_on_what_budget_and_its_totals_add_up(
    promoted: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(said(capsys, "history", "--limit", "1000", "--json"))
    trials, totals = document["trials"], document["totals"]
    assert len(trials) == totals["trials"] == sum(totals["trials_by_status"].values())
    for status, count in totals["trials_by_status"].items():
        assert count == sum(row["status"] == status for row in trials)
    assert {row["budget_share"] for row in trials} == {1.0}
    assert {"accepted", "survived"} <= totals["trials_by_status"].keys()
    assert all(row["reason"] for row in trials if row["status"] != "accepted")
    assert len(document["certifications"]) == totals["certifications"] == promoted["certifications"]
    for row in (*document["families"], *document["mutations"]):
        assert row["tried"] == row["accepted"] + row["out"] + row["failed"]
    printed = said(capsys, "history", "--limit", "1000")
    assert "full" in printed and f"{totals['trials']} trials: " in printed
    reasons = [schema.text(row["reason"]) for row in trials]
    assert all(reason in " ".join(printed.split()) for reason in reasons if len(reason) < 40)


def keys(value: Any) -> Iterator[tuple[str, Any]]:
    for each in value if isinstance(value, list) else ():
        yield from keys(each)
    for key, each in value.items() if isinstance(value, dict) else ():
        yield key, each
        if key not in ("content", "files", "old", "new"):  # what a user's recipe says
            yield from keys(each)


def test_every_document_has_a_schema_and_calls_one_thing_by_one_name(
    promoted: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = promoted["promotions"][0]
    run = json.loads(said(capsys, "log", "--json"))["runs"][0]["run"]
    asked = [
        *(["show", promotion[key]] for key in ("promotion", "comparison", "to_recipe")),
        ["show", run],
        *([name] for name in ("log", "lineage", "verify", "budget", "kinds", "mutate", "history", "proposals")),
        ["diff", str(BASELINE), promotion["from_recipe"]],
        ["propose", "depth:2"],
        ["mutate", "depth:2"],
        ["revert"],
    ]
    wrong = [["show", "zzz"], ["train", "nothing.yaml"], ["sweep"]]
    for arguments in (*asked, *wrong):
        document = json.loads(said(capsys, *arguments, "--json", code=2 if arguments in wrong else 0))
        assert document["schema"] == 2
        for key, value in keys(document):
            assert key not in ELSEWHERE, f"{arguments}: {key}"
            if key in ("run", "recipe", "promotion", "comparison", "from_recipe", "to_recipe") and value:
                assert len(value) == 32 and int(value, 16), f"{arguments}: {key} is {value}"
    assert not ELSEWHERE & dict(keys({"campaign": promoted.to_dict()})).keys()


def test_a_run_is_shown_with_its_curve_and_its_files(promoted: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(row["run"] for row in json.loads(said(capsys, "log", "--json"))["runs"] if row["val_bpb"] is not None)
    folder = Path(json.loads(said(capsys, "show", run, "--json"))["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['{"step": 1, "loss": 4.0}', "[]", '{"step": 2, "loss": NaN}', "no json", '{"step": 3, "loss": 1.0}', '{"s']
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    document = json.loads(said(capsys, "show", run, "--json"))
    assert document["curve"] == [{"step": 1, "loss": 4.0}, {"step": 3, "loss": 1.0}]
    assert {"file": "metrics.jsonl", "bytes": len("\n".join(lines))} in document["files"]
    printed = said(capsys, "show", run)
    assert "training loss █▁  4.000 at step 1, 1.000 at step 3" in printed
    assert str(folder / "metrics.jsonl") in printed and "bits per byte" in printed
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {i}, "loss": 1.5}}\n' for i in range(1, 1000)))
    curve = json.loads(said(capsys, "show", run, "--json"))["curve"]
    assert len(curve) <= 48 and curve[-1]["step"] == 999


def test_every_status_word_is_documented() -> None:
    words = {*queries.STATUSES, *REASONS, *get_args(Word), *get_args(Control)}
    words |= {*re.findall(r'"status": "(\w+)"', Path(trial.__file__).read_text())}
    assert {"accepted", "survived", "failed", "eliminated", "unpaired", "incomparable"} <= words
    text = (ROOT / "docs" / "json.md").read_text()
    assert [word for word in words if f"`{word}`" not in text] == []


def test_compute_is_told_in_the_unit_that_fits() -> None:
    assert [flops(value) for value in (0.0, 950.0, 3.2e9, 1e12, 2.5e15)] == ["0", "950", "3.2 G", "1 T", "2.5 P"]
