"""The shipped recipes belong together."""

from __future__ import annotations

from benchmarks.ablations import EXPERIMENTS, STACK, WITHOUT
from foundry.mutate import mutate
from foundry.recipe import Recipe


def test_modern_is_baseline_with_ordinary_mutations() -> None:
    baseline, modern = (Recipe.load(EXPERIMENTS / f"{name}.yaml") for name in ("baseline", "modern"))
    assert mutate(baseline, "+".join(STACK))[0].fingerprint == modern.fingerprint


def test_every_ablation_is_another_recipe() -> None:
    modern = Recipe.load(EXPERIMENTS / "modern.yaml")
    fingerprints = {mutate(modern, back)[0].fingerprint for back in WITHOUT.values()}
    assert len(fingerprints) == len(WITHOUT) and modern.fingerprint not in fingerprints
