"""What the engine does with runs that it has had before."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.ledger.weights import run_folder
from foundry.recipe import Recipe
from tests.home import small_lab


@pytest.mark.parametrize("damage", ["torn", "gone"])
def test_a_checkpoint_that_was_damaged_is_trained_anew_and_is_no_failure(home: Path, damage: str) -> None:
    recipe = Recipe.load(Path("experiments/baseline.yaml"))
    with small_lab() as lab:
        arm = lab.arm_of(recipe)
        first = lab.gather([(arm, 1)])[0]
        weights = run_folder(first.id) / "checkpoint" / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:100]) if damage == "torn" else weights.unlink()
        other_split = lab.gather([(arm, 1)], "certification")[0]
        assert other_split.ok, other_split.detail
        assert weights.read_bytes() == whole
        assert lab.gather([(arm, 1)])[0].bpb == first.bpb
        assert lab.ledger.runs.get(first.id)["attempts"] == 2
