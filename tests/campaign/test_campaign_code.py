"""What agents put into the workspace ends a candidate at most, with a typed reason; the campaign goes on, and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry import sandbox
from foundry.campaign.history import history
from foundry.campaign.policy import Limits
from foundry.campaign.proposals import propose
from foundry.campaign.run import CampaignPlan, campaign
from foundry.campaign.state import Event, State
from foundry.core.code import MAX_BYTES
from foundry.core.errors import REASONS, RequestError
from foundry.interface.cli import main
from tests.home import small_lab

BASELINE = Path("experiments/baseline.yaml")
SPACE = Path("space.yaml")
CONFIG = "from foundry.modules.activation import gelu\n\n\nclass Config({bases}):\n    pass\n"
HONEST = CONFIG.format(bases="gelu.Config")
FILES = {
    "dotted": CONFIG.format(bases="gelu" + ".Config" * 600),
    "nested": HONEST + f"KNOWN = {'[' * 150}{']' * 150}\n",
    "signs": HONEST + f"KNOWN = {'-' * 5000}1\n",
    "chain": HONEST + f"KNOWN = 1{' + 1' * 20000}\n",
    "unclosed": HONEST + "(" * 100_000,
    "huge": HONEST + "A = 1\n" * (MAX_BYTES // 6),
    "nul": HONEST + "\0",
    "digits": HONEST + f"KNOWN = {'7' * 5000}\n",
    "cyclic": CONFIG.format(bases="Config"),
    "slow": HONEST + "A=0\n" * ((MAX_BYTES - 200) // 4),
}
"""Activations that no honest file is."""


SLOW = "slow"
"""As large as a file may be, and valid: it takes two seconds to parse, and is tried."""


class Killed(Exception):
    pass


def kill_in_a_round(event: Event, state: State) -> None:
    if event["kind"] == "round":
        raise Killed


def run_campaign(runs: int, told: Any = lambda event, state: None) -> Any:
    with small_lab() as lab:
        return campaign(lab, BASELINE, CampaignPlan(Limits(runs=runs), strategy="outside"), lambda *pair: None, told)


@pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
def test_whatever_a_file_is_it_ends_its_candidate_with_a_typed_reason_and_the_campaign_goes_on_across_restarts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")
    folder = home / "workspace/modules/activation"
    folder.mkdir(parents=True)
    for name in FILES:  # each is honest when it is proposed, and the first ones when their round begins
        (folder / f"{name}.py").write_text(HONEST)
        propose(BASELINE, f"activation:{name}", "", "an agent")
    propose(BASELINE, "norm:rmsnorm", "an honest one behind them", "a person")
    with pytest.raises(Killed):
        run_campaign(12, kill_in_a_round)
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    for name in FILES.keys() - {SLOW, "cyclic"}:
        with pytest.raises(RequestError, match=r"^\[code\.\w+\] [^\n]+$"):
            propose(BASELINE, f"activation:{name}", "", "an agent")
    first, second = run_campaign(12), run_campaign(12)
    assert first["rounds"] >= 2 and second["ended"] in ("over", "exhausted")
    found = {row["mutation"]: row for row in history(100)["proposals"]}
    assert found["norm:rmsnorm"]["status"] == "done"
    for name in FILES.keys() - {SLOW}:
        row = found[f"activation:{name}"]
        assert row["status"] == "refused" or row["result"]["status"] == "failed", row
        assert "[c" in row["result"]["reason"] or row["result"]["reason"].partition(":")[0] in REASONS, row
    assert {row["status"] for row in found.values()} == {"refused", "done"}
    assert main(["kinds", "--json"]) == 0 and main(["mutate", "--json"]) == 0
    assert "Traceback" not in capsys.readouterr().err
