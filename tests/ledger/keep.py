"""Makes a ledger to keep, and what it showed: later versions must open it, show the same and go on with its campaign.

    python -m tests.ledger.keep        writes tests/ledger/kept/version-N.tar.xz, N the schema's version

One is made when the schema's version rises, before its release, and never again. Its runs are made up: scores are a
function of recipe and seed (soak/trainer.py).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.interface.cli import main
from foundry.ledger.schema import VERSION
from foundry.promote.promote import revert
from soak.endless import InstantLab, as_trained
from soak.lab import BASELINE
from tests.home import write_tiny

KEPT = Path(__file__).parent / "kept"
SHOWN = "shown.json"
ASKED = {
    "log": ["log", "--limit", "500"],
    "lineage": ["lineage"],
    "history": ["history"],
    "budget": ["budget"],
    "proposals": ["proposals"],
    "verify": ["verify"],
}


def text() -> str:
    """What the runs would have been trained on."""
    return "".join(f"line {i} of a text that nobody reads, {i * i % 97} and {i % 13}\n" for i in range(4000))


def go_on(runs: int) -> Any:
    """The campaign of the working directory, so many runs more; its document."""
    with InstantLab(2, as_trained) as lab:
        plan = CampaignPlan(Limits(runs=runs), "evolve")
        return campaign(lab, BASELINE, plan, lambda *pair: None, lambda event, state: None)


def documents() -> dict[str, Any]:
    """What the working directory's ledger shows, by command."""
    shown = {}
    for name, command in ASKED.items():
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = main([*command, "--json"])
        shown[name] = {"exit": code, **json.loads(out.getvalue())}
    return shown


def make() -> None:
    """In the working directory, which is empty."""
    Path("text.txt").write_text(text())
    write_tiny(BASELINE, data__source="file:text.txt")
    document = go_on(60)
    while len(document["promotions"]) < 2:
        document = go_on(30)
    with InstantLab() as lab:
        revert(lab.ledger, BASELINE)
        lab.ledger.proposals.add("attention:gqa_1kv", "fewer keys", "somebody")
    document = go_on(30)
    Path(SHOWN).write_text(json.dumps(documents()))
    with sqlite3.connect("runs/ledger.db") as connection:
        connection.execute("VACUUM INTO 'ledger.db'")
    connection.close()


def keep() -> Path:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["FOUNDRY_CACHE"], os.environ["FOUNDRY_KEYS"] = f"{folder}/cache", f"{folder}/keys"
        make()
        KEPT.mkdir(exist_ok=True)
        with tarfile.open(made := KEPT / f"version-{VERSION}.tar.xz", "w:xz") as archive:
            archive.add("ledger.db", "runs/ledger.db")
            for name in ("runs/ledger.id", str(BASELINE), "keys", SHOWN):
                archive.add(name)
    return made


if __name__ == "__main__":
    print(f"{(made := keep())}: {made.stat().st_size} bytes")
