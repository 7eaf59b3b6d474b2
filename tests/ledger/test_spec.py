"""What a run's identity promises: content alone, equal in every process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.core.fingerprint import file_fingerprint, fingerprint
from foundry.ledger.ledger import Ledger
from foundry.ledger.run_spec import RunSpec
from foundry.recipe import Recipe

BASELINE = Path(__file__).parents[2] / "experiments" / "baseline.yaml"


class Named:
    """A recipe as far as identity goes."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def to_dict(self) -> dict[str, Any]:
        return yaml_io.load(BASELINE)


def spec(recipe: str = "r", seed: int = 1, tokens: int = 1000, data: str = "d") -> RunSpec:
    return RunSpec(cast(Recipe, Named(recipe)), seed, tokens, data)


def test_equal_content_is_the_same_run_and_any_change_is_another() -> None:
    assert spec().id == spec().id and len(spec().id) == 32
    ids = [spec().id, spec("s").id, spec(seed=2).id, spec(tokens=1001).id, spec(data="e").id]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("change", [{"seed": -1}, {"seed": 2**63}, {"tokens": 0}])
def test_an_impossible_run_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"run\.bad"):
        spec(**change)


def test_a_spec_says_what_it_is_in_json() -> None:
    assert spec().to_json() == {
        "run": spec().id,
        "recipe": "r",
        "seed": 1,
        "budget_tokens": 1000,
        "data_hash": "d",
        "code": fingerprint(spec().code),
    }


def test_a_recipe_with_workspace_code_is_recorded_with_its_source(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).parents[2] / "src/foundry/modules/norm/layernorm.py"
    mine = tmp_path / "workspace" / "modules" / "norm" / "mine.py"
    mine.parent.mkdir(parents=True)
    mine.write_text(source.read_text())
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path / "workspace"))
    values = Recipe.load(BASELINE).to_dict()
    values["model"]["norm"] = {"kind": "mine"}
    run = RunSpec(Recipe.from_dict(values), 1, 1000, "d")
    ledger.runs.put(run, judged_hash="j")
    row = ledger.recipes.get(run.recipe.fingerprint)
    assert row is not None and ledger.runs.get(run.id)["recipe"] == run.recipe.fingerprint
    assert json.loads(row["sources"]) == {
        "model.norm": {"hash": file_fingerprint(mine), "file": "modules/norm/mine.py", "text": source.read_text()}
    }
