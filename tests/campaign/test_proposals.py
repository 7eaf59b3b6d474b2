"""The queue into campaigns: checked at once, listed, taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.live_environment import LiveEnvironment
from foundry.core.untrusted import framed
from foundry.interface.cli import main
from foundry.ledger.ledger import Ledger
from foundry.recipe import Recipe
from tests.home import small_lab
from tests.schema import text

BASELINE = Path("experiments/baseline.yaml")


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "mutation",
    ["lr:1e-3+lr:2e-3", "norm:rmsnorm+norm:rmsnorm", "attention:gqa_9kv", "lr:x", "norm:", "set:model.nothing=1",
     "lr:0.9e9", "width:33"],
)  # fmt: skip
def test_what_mutate_refuses_propose_refuses_with_the_same_error_and_queues_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], mutation: str
) -> None:
    refused = said(capsys, "mutate", mutation, code=2)
    assert said(capsys, "propose", mutation, code=2) == refused
    assert not Path("runs").exists()


def test_a_word_that_is_the_baselines_own_is_not_queued(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lr = Recipe.load(BASELINE).to_dict()["train"]["optimizer"]["lr"]
    assert said(capsys, "propose", f"lr:{lr}", code=2)["error"]["code"] == "mutate.no_effect"


def test_a_proposal_is_listed_and_can_be_taken_back_while_it_waits(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "proposals")["proposals"] == [] and not Path("runs").exists()
    for mutation in ("lr:1e-2", "norm:rmsnorm", "lr:5e-3"):
        said(capsys, "propose", mutation, "--why", "a guess", "--who", "anna")
    with Ledger.open() as ledger:
        ledger.proposals.take()
        taken = said(capsys, "proposals", "--withdraw", "1", code=2)["error"]
        assert "taken" in text(taken["message"]) and said(capsys, "proposals", "--withdraw", "9", code=2)
        withdrawn = said(capsys, "proposals", "--withdraw", "2", "--why", "tried by hand")
        result = withdrawn.pop("result")
        assert text(result["reason"]) == "withdrawn: tried by hand" and result["gain_bpb"] is None
        assert withdrawn == {
            "schema": 2,
            "proposal": 2, "mutation": "norm:rmsnorm", "why": framed("a guess"), "who": framed("anna"),
            "status": "refused",
        }  # fmt: skip
        listed = said(capsys, "proposals")
        assert [row["status"] for row in listed["proposals"]] == ["queued", "refused", "taken"]
        assert listed["waiting"] == 1 and {**listed["proposals"][1], "schema": 2} == {**withdrawn, "result": result}
        following = ledger.proposals.take()
        assert following is not None and following["mutation"] == "lr:5e-3"
    assert main(["proposals", "--status", "refused"]) == 0
    printed = capsys.readouterr().out
    assert "withdrawn: tried by hand" in printed and "lr:1e-2" not in printed


def test_a_word_that_leads_back_does_not_rename_what_it_leads_to(home: Path) -> None:
    champion = Recipe.load(BASELINE)
    with small_lab() as lab:
        field = LiveEnvironment(lab, champion, None, track="t")
        frontier = field.apply(champion.fingerprint, "lr:5e-3")
        back = field.apply(frontier, f"lr:{champion.to_dict()['train']['optimizer']['lr']}")
        assert back == champion.fingerprint
        assert (field.recipe(back).name, field.recipe(frontier).name) == ("baseline", "lr:5e-3")
