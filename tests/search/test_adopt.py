"""`foundry adopt` moves what was promoted, and `foundry rebuild` writes what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry.core.errors import RequestError
from foundry.interface.cli import main
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.runs.ledger import Ledger
from foundry.search import adopt as room
from foundry.search.adopt import adopt
from foundry.search.promote import promote, settle

BASELINE = Path("experiments/baseline.yaml")
SOURCE = '''"""GELU again. May not: let tokens meet."""
from foundry.modules.activation import gelu


class Config(gelu.Config):
    pass
'''


@pytest.fixture
def package(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder to adopt into, and a workspace part."""
    monkeypatch.setattr(room, "PACKAGE", home / "package")
    file = home / "workspace" / "modules" / "activation" / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    return home / "package"


def promoted(ledger: Ledger) -> Recipe:
    baseline = settle(ledger, BASELINE)
    winner, _ = mutate(baseline, "activation:mine")
    promote(ledger, BASELINE, baseline, winner, None, {})  # type: ignore[arg-type]
    return winner


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
