"""A ledger that an earlier version wrote opens, shows what it showed then, and its campaign goes on."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.ledger.ledger import Ledger
from foundry.ledger.schema import VERSION
from soak.lab import TRACK
from tests.ledger.keep import KEPT, SHOWN, documents, go_on, text

KEPT_LEDGERS = sorted(KEPT.glob("version-*.tar.xz"))


@pytest.fixture(params=KEPT_LEDGERS, ids=lambda path: path.name.partition(".")[0])
def kept(request: pytest.FixtureRequest, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory that it was kept in."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "text.txt").write_text(text())
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOUNDRY_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("FOUNDRY_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where what was shown then isn't shown now; keys that are new are welcome, and frames around others' text."""
    if isinstance(now, dict) and now.keys() == {"untrusted"} and not isinstance(then, dict):
        yield from differences(then, json.loads(now["untrusted"]), path)
    elif isinstance(then, dict) and isinstance(now, dict):
        for key, value in then.items():
            if key == "schema":
                continue
            yield from differences(value, now.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for i, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{path}[{i}]")
    elif then != now and (then, now) != ("", None):  # others' text that isn't there
        yield f"{path}: {then!r:.80} is {now!r:.80}"


def test_there_is_one_of_todays_form() -> None:
    assert f"version-{VERSION}.tar.xz" in {path.name for path in KEPT_LEDGERS}, "python -m tests.ledger.keep makes it"


def test_a_kept_ledger_shows_what_it_showed_and_its_campaign_goes_on(kept: Path) -> None:
    then = json.loads((kept / SHOWN).read_text())
    assert list(differences(then, documents())) == []
    assert then["verify"]["exit"] == 0 and len(then["lineage"]["promotions"]) > 3
    with Ledger.open() as ledger:
        before, runs = list(ledger.campaigns.events(TRACK)), ledger.runs.last()
    document = go_on(20)
    assert document["ended"] == "over" and 0 < document["this_command"]["runs"] <= 20
    with Ledger.open() as ledger:
        after = list(ledger.campaigns.events(TRACK))
        assert after[: len(before)] == before and len(after) > len(before) and ledger.runs.last() > runs
    now = documents()
    assert now["verify"]["exit"] == 0
    old = then["lineage"]["promotions"]
    assert list(differences(old, now["lineage"]["promotions"][: len(old)])) == []


def test_a_kept_ledger_that_was_changed_since_is_not_shown_as_it_was_nor_verified(kept: Path) -> None:
    then = json.loads((kept / SHOWN).read_text())
    with sqlite3.connect(kept / "runs" / "ledger.db") as connection:
        connection.execute("UPDATE promotions SET mutation = 'norm:none' WHERE kind = 'promote'")
    connection.close()
    now = documents()
    assert now["verify"]["exit"] == 1 and list(differences(then["lineage"], now["lineage"]))
