"""What `foundry campaign` promises on real runs of a fraction of a second, and its memory, queue and lease."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.history import history
from foundry.campaign.policy import Limits
from foundry.campaign.proposals import propose
from foundry.campaign.run import CampaignPlan, campaign
from foundry.core.errors import RequestError, WorkError
from foundry.interface.cli import main
from foundry.interface.report_campaign import lines
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger, ledger_path
from foundry.promote.reproduce import reproduce
from foundry.recipe import Recipe
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")
TRACK = "experiments/baseline.yaml"
SPACE = Path("space.yaml")


@pytest.fixture
def slow_rate(home: Path) -> Path:
    """A baseline that learns next to nothing, so that a real gain is there to be found."""
    write_tiny(BASELINE, train__optimizer__lr=1e-5, budget__tokens=64 * 32)
    SPACE.write_text("mutations: [lr:1e-2, lr:5e-3, 'norm:rmsnorm', weight_decay:0]\n")
    return home


def run_campaign(runs: int, **plan: Any) -> Any:
    with small_lab() as lab:
        asked = CampaignPlan(Limits(runs=runs), **{"strategy": "evolve", "space": SPACE, **plan})
        return campaign(lab, BASELINE, asked, lambda *pair: None, lambda event, state: None)


def test_a_campaign_finds_certifies_and_promotes_a_real_gain_and_it_can_be_reproduced(slow_rate: Path) -> None:
    propose(BASELINE, "lr:1e-2+norm:rmsnorm", "the rate is far too low", "somebody")
    with Ledger.open() as ledger:  # as of another baseline, on which it was no mistake
        ledger.proposals.add("lr:0.9e9+norm:rmsnorm", "", "somebody")
    document = run_campaign(48)
    assert document["promotions"], document
    assert document["promotions"][-1]["effect_bpb"] > 0.1
    standing = Recipe.load(BASELINE)
    assert standing.fingerprint == document["champion"] == document["promotions"][-1]["to_recipe"]
    assert standing.to_dict()["train"]["optimizer"]["lr"] in (1e-2, 5e-3)
    assert {row["attempts"] for row in queries.log(limit=500)} == {1}
    assert queries.log(status="running") == []
    remembered = history(50)
    mine = {row["mutation"]: row for row in remembered["proposals"]}
    assert mine["lr:1e-2+norm:rmsnorm"]["status"] == "done"
    assert mine["lr:1e-2+norm:rmsnorm"]["result"]["gain_bpb"] > 0.1
    assert mine["lr:0.9e9+norm:rmsnorm"]["status"] == "refused"
    assert remembered["families"][0]["certified_bpb"] > 0.1
    told = {"mutation", "recipe", "gain_bpb", "interval_bpb", "budget_share", "status", "reason", "by", "why"}
    assert told <= remembered["trials"][0].keys()
    assert remembered["certifications"][0]["verdict"] == "better"

    again = reproduce(document["promotions"][0]["promotion"][:12], 1, 1, "cpu", _Silent(), lambda line: None)
    assert again["bit_for_bit"] and again["reproduced"] and len(again["runs"]) == 2
    other = main(["reproduce", document["champion"][:12], "--json"])
    assert other == 2, "a recipe is no promotion"


def test_a_champion_whose_code_has_changed_is_measured_anew(
    slow_rate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(runs: int) -> list[str]:
        """A campaign's events since the one before."""
        asked = CampaignPlan(Limits(runs=runs), strategy="grid", space=SPACE)
        with small_lab() as lab, Ledger.open() as ledger:
            before = len(list(ledger.campaigns.events(TRACK)))
            campaign(lab, BASELINE, asked, lambda *pair: None, lines(print))
            return [event["kind"] for event in list(ledger.campaigns.events(TRACK))[before:]]

    SPACE.write_text("mutations: [weight_decay:0, weight_decay:0.01]\n")
    champion = Recipe.load(BASELINE).fingerprint
    assert again(12)[:2] == ["recoded", "opened"]
    of_champion = {row["run"] for row in queries.log(recipe=champion)}
    assert "recoded" not in again(1) and "changed" not in capsys.readouterr().out
    other = lambda recipe: {"train/loop.py": "of another day"}  # noqa: E731
    monkeypatch.setattr("foundry.ledger.run_spec.training_code", other)
    monkeypatch.setattr("foundry.campaign.run.training_code", other)
    assert "recoded" in again(13) and "code that trains or judges the champion has changed" in capsys.readouterr().out
    stale = {row["run"] for row in queries.log(recipe=champion)} - of_champion
    assert stale and of_champion.isdisjoint(stale)


class _Silent:
    def started(self, spec: Any, stage: str) -> None: ...
    def progressed(self, spec: Any, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: Any) -> None: ...


SCRIPT = """
import sys
from foundry.interface.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def finished() -> dict[str, int]:
    """Runs that are scored by now, with how often each was trained."""
    return {row["run"]: row["attempts"] for row in queries.log(limit=500, status="done")}


def test_a_killed_campaign_goes_on_and_a_second_one_is_refused_meanwhile(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SPACE.write_text("mutations: [weight_decay, grad_clip, adam_betas, lr]\n")
    command = ["campaign", "--runs", "40", "--strategy", "grid", "--space", str(SPACE), "--jobs", "2"]
    command += ["--judged-bytes", "2048", "--device", "cpu"]
    process = start(*command)
    while process.poll() is None and not (Path("runs/ledger.db").exists() and len(finished()) >= 3):
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    assert main([*command, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "campaign.running"
    assert str(process.pid) in err and err.count("\n") == 1
    process.kill()
    process.communicate()
    before = finished()
    process = start(*command, "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err, err
    assert 0 < json.loads(out)["this_command"]["runs"] <= 40
    after = finished()
    assert before.keys() <= after.keys() and all(after[run] == before[run] for run in before)
    with Ledger.open() as ledger:
        events = list(ledger.campaigns.events(TRACK))
    assert [event["kind"] for event in events].count("opened") == 1, "the same command goes on with what it began"


def test_a_controller_that_lost_its_lease_writes_nothing_more(home: Path) -> None:
    with Ledger.open() as ledger:
        stale = ledger.campaigns.begin()
        with pytest.raises(WorkError, match="another campaign is running"):
            ledger.campaigns.begin()
        ledger.campaigns.end(stale)
        fresh = ledger.campaigns.begin()
        with pytest.raises(WorkError, match="taken this ledger over"):
            ledger.campaigns.append(TRACK, stale, {"kind": "closed"})
        ledger.campaigns.append(TRACK, fresh, {"kind": "closed"})
        assert list(ledger.campaigns.events(TRACK)) == [{"kind": "closed"}]
        ledger.campaigns.end(fresh)


def test_a_ledger_from_before_campaigns_is_given_what_it_lacks_and_keeps_what_it_has(home: Path) -> None:
    from foundry.ledger.file import LedgerFile
    from foundry.ledger.schema import APPLICATION_ID, STATEMENTS

    old = LedgerFile.open(ledger_path())
    with old.writing() as write:
        for table in [row["name"] for row in write.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]:
            write.execute(f"DROP TABLE {table}")
        for statement in STATEMENTS:
            write.execute(statement)
        write.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        write.execute("PRAGMA user_version = 1")
        write.execute("INSERT INTO settings VALUES ('kept', '1')")
    old.close()
    assert history(5)["trials"] == [], "a reader of an old ledger sees no campaign, and no error"
    with Ledger.open() as ledger:
        assert ledger.setting("kept") == 1
        assert list(ledger.campaigns.events(TRACK)) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["campaign", "--strategy", "evolv"], "did you mean 'evolve'"),
        (["campaign", "--runs", "0"], "greater than or equal to 1"),
        (["campaign", "--hours", "nan"], "less than or equal to 1000000"),
        (["campaign", "--space", "nowhere.yaml"], "nowhere.yaml"),
        (["propose", "atention:mla"], "did you mean 'attention'"),
        (["propose", "attention:gqa_9kv"], "gqa_2kv"),
        (["reproduce", "zzz"], "zzz"),
    ],
)
def test_a_wrong_request_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and line in err, err


def test_a_space_file_says_what_may_be_proposed(home: Path) -> None:
    from foundry.campaign.live_environment import read_space

    SPACE.write_text("mutations: [norm, attention:gqa_2kv]\n")
    assert {"norm:rmsnorm", "attention:gqa_2kv"} <= set(read_space(SPACE))
    SPACE.write_text("mutation: [norm]\n")
    with pytest.raises(RequestError, match="one key"):
        read_space(SPACE)


def test_memory_and_queue_are_read_without_torch(home: Path) -> None:
    propose(BASELINE, "norm:rmsnorm", "", "")
    code = "import sys; from foundry.interface.cli import main; code = main(sys.argv[1:]); "
    code += "sys.exit(3 if 'torch' in sys.modules else code)"
    for arguments in (["history", "--json"], ["proposals", "--json"], ["proposals", "--withdraw", "1", "--json"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
