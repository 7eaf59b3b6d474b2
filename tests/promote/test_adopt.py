"""`foundry adopt` moves what was promoted, and `foundry rebuild` writes what was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RequestError
from foundry.interface.cli import main
from foundry.ledger.ledger import Ledger
from foundry.mutate import mutate
from foundry.promote import adopt as room
from foundry.promote.adopt import adopt
from foundry.promote.promote import promote, settle
from foundry.recipe import Recipe

BASELINE = Path("experiments/baseline.yaml")
SOURCE = '''"""GELU again. May not: let tokens meet."""
from foundry.modules.activation import gelu


class Config(gelu.Config):
    pass
'''


@pytest.fixture
def package(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder to adopt into, and a workspace part."""
    monkeypatch.setattr(room, "PACKAGE", home / "src" / "package")
    monkeypatch.setattr(room, "CHECKOUT", home)
    (home / "pyproject.toml").touch()
    file = home / "workspace" / "modules" / "activation" / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    return home / "src" / "package"


def promoted(ledger: Ledger) -> Recipe:
    baseline = settle(ledger, BASELINE)
    winner, _ = mutate(baseline, "activation:mine")
    promote(ledger, BASELINE, baseline, winner, None, {})  # type: ignore[arg-type]
    return winner


def measured(ledger: Ledger, winner: Recipe, verdict: dict[str, Any]) -> None:
    document = {**verdict, "comparison": "made up", "kind": "certification", "arms": []}
    ledger.verdicts.record("key", 1, "certification", winner.fingerprint, winner.fingerprint, document)


def test_a_promoted_part_moves_into_the_package_and_nothing_else_changes(package: Path) -> None:
    with Ledger.open() as ledger:
        promoted(ledger)
        before = BASELINE.read_text()
        document = adopt(ledger, "mine")
    target = package / "modules" / "activation" / "mine.py"
    assert target.read_text() == SOURCE and not Path(document["from"]).exists()
    assert document["promotion"] and str(target) in document["commit"]
    assert BASELINE.read_text() == before


def test_a_part_that_was_never_promoted_or_was_changed_since_stays_unless_forced(package: Path) -> None:
    with Ledger.open() as ledger:
        with pytest.raises(RequestError, match=r"adopt\.not_promoted"):
            adopt(ledger, "activation:mine")
        promoted(ledger)
        Path("workspace/modules/activation/mine.py").write_text(SOURCE + "# better\n")
        with pytest.raises(RequestError, match=r"adopt\.not_promoted"):
            adopt(ledger, "activation:mine")
        assert adopt(ledger, "activation:mine", force=True)["promotion"] is None


def test_it_shows_the_source_and_what_was_measured_says_what_trust_it_gives_and_moves_nothing_unasked(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open() as ledger:
        winner = promoted(ledger)
        verdict = {"verdict": "not_better", "reasons": ["noise"], "effect_bpb": -0.5, "n": 7, "report": "a/report"}
        measured(ledger, winner, verdict)
    assert main(["adopt", "mine"]) == 2
    said = capsys.readouterr()
    assert SOURCE.strip() in said.out and "not_better, -0.5 bpb over 7 pairs (a/report)" in said.out
    assert "all of Foundry's rights" in said.out and "adopt.not_agreed" in said.err
    assert main(["adopt", "mine", "--json"]) == 2
    assert not package.exists() and Path("workspace/modules/activation/mine.py").exists()
    assert main(["adopt", "mine", "--yes"]) == 0
    assert (package / "modules/activation/mine.py").read_text() == SOURCE


def test_a_part_in_quarantine_is_refused_forced_or_not_until_a_person_has_put_it_in_place(package: Path) -> None:
    with Ledger.open() as ledger:
        baseline = settle(ledger, BASELINE)
        winner, _ = mutate(baseline, "activation:mine")
        ledger.recipes.put(winner)
        reasons = ["blocked: in quarantine until a person has looked: 0.2 bpb"]
        verdict = {"verdict": "not_better", "reasons": reasons, "effect_bpb": 2.0, "n": 9, "report": "a/report"}
        measured(ledger, winner, verdict)
        for force in (False, True):
            with pytest.raises(RequestError, match=r"adopt\.quarantined"):
                adopt(ledger, "mine", force=force)
        winner.save(BASELINE)
        settle(ledger, BASELINE)
        assert adopt(ledger, "mine", force=True)["promotion"] is None


def test_what_was_changed_while_a_person_looked_is_not_moved(package: Path) -> None:
    with Ledger.open() as ledger, pytest.raises(RequestError, match=r"adopt\.changed"):
        adopt(ledger, "mine", force=True, seen="another")
    assert not package.exists()


def test_what_isnt_there_or_is_there_already_is_refused(package: Path) -> None:
    with Ledger.open() as ledger:
        with pytest.raises(RequestError, match=r"choices: activation:mine"):
            adopt(ledger, "activation:theirs")
        target = package / "modules" / "activation" / "mine.py"
        target.parent.mkdir(parents=True)
        target.write_text("other")
        with pytest.raises(RequestError, match=r"adopt\.exists"):
            adopt(ledger, "mine", force=True)
    assert target.read_text() == "other" and Path("workspace/modules/activation/mine.py").read_text() == SOURCE


def test_rebuild_writes_recipe_and_code_into_an_empty_folder_only(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open() as ledger:
        winner = promoted(ledger)
    assert main(["rebuild", winner.fingerprint[:8], "again", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == ["recipe.yaml", "workspace/modules/activation/mine.py"]
    monkeypatch.setenv("FOUNDRY_WORKSPACE", document["workspace"])
    assert Recipe.load(Path("again/recipe.yaml")).fingerprint == winner.fingerprint
    assert main(["rebuild", winner.fingerprint, "again"]) == 2
    assert main(["rebuild", "0000", "elsewhere"]) == 2
