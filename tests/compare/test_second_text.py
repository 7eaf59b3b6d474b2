"""An honest part from the workspace on its merits: swept, certified, asked again on a second text, promoted."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from foundry import sandbox
from foundry.compare import comparison
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.comparison import Rules
from foundry.core import yaml_io
from foundry.interface.cli import main
from foundry.ledger import queries
from foundry.ledger.ledger import ledger_path
from foundry.ledger.queries import reading
from foundry.promote.sweep import SweepPlan, sweep
from foundry.promote.verify import verify
from tests.home import ROOT, small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")
PLAN = SweepPlan(("norm:mine",), promote=True, seeds=1, budget=BudgetRules(control="per-comparison", q=0.25))


class Stopped(Exception):
    pass


def stop_on_the_second_text(baseline: Any, candidate: Any, plan: Any) -> None:
    if candidate.spec.recipe.data.source == "builtin:networkx":
        raise Stopped


@pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
def test_an_honest_part_is_promoted_on_its_merits_and_the_second_text_survives_a_kill_and_is_asked_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")
    monkeypatch.setattr(comparison, "REMEASURED_PAIRS", 2)
    monkeypatch.setattr(comparison, "ON_SECOND_TEXT", Rules(alpha=0.25))
    handicap = {"model__norm": {"kind": "none"}, "model__init_std": 0.5}
    write_tiny(BASELINE, **handicap, train__optimizer__lr=1e-2, budget__tokens=64 * 40)
    part = home / "workspace/modules/norm/mine.py"
    part.parent.mkdir(parents=True)
    part.write_text((ROOT / "src/foundry/modules/norm/rmsnorm.py").read_text())
    with small_lab() as lab, pytest.raises(Stopped):
        sweep(lab, BASELINE, PLAN, stop_on_the_second_text)
    before = {row["run"] for row in queries.log(limit=100, status="done")}
    with small_lab() as lab:
        document = sweep(lab, BASELINE, PLAN, lambda *pair: None)
        tests = lab.ledger.budget.history(1).tests
    verdict, second = document["verdict"], document["verdict"]["second_text"]
    assert document["promoted"] == "norm:mine" and yaml_io.load(BASELINE)["model"]["norm"]["kind"] == "mine"
    assert second["verdict"] == "better" and second["effect_bpb"] > 0.1
    assert verdict["remeasured"]["effect_bpb"] > 0.1 and all(guard["passed"] for guard in verdict["guards"])
    again = {row["run"]: row["attempts"] for row in queries.log(limit=100) if row["run"] in before}
    assert set(again) == before and set(again.values()) == {1}
    with reading() as file:
        assert file is not None
        kinds = [row["kind"] for row in file.rows("SELECT kind FROM verdicts ORDER BY seq")]
        plans = file.rows("SELECT key FROM plans")
    assert kinds == ["second_text", "certify"] and len(plans) == 2 and tests == 1
    assert main(["show", document["promotion"], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["record"]["second_text"]["comparison"] == second["comparison"]
    assert main(["show", second["comparison"]]) == 0 and main(["show", verdict["comparison"]]) == 0
    assert "On a second text, builtin:networkx: +" in capsys.readouterr().out
    assert verify()["breaks"] == []
    with closing(sqlite3.connect(ledger_path())) as ledger, ledger:
        ran = "SELECT DISTINCT tier FROM runs JOIN recipes ON recipe = fingerprint WHERE sources != '{}' AND tier != ''"
        assert ledger.execute(ran).fetchall() == [("landlock",)]
        change = "UPDATE verdicts SET content = json_set(content, '$.verdict', 'not_better') WHERE kind = 'second_text'"
        ledger.execute(change)
    assert "verify.second_text" in {found["code"] for found in verify()["breaks"]}
