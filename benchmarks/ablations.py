"""What each ingredient of experiments/modern.yaml is worth: modern without it, on the same seeds and tokens.

    python -m benchmarks.ablations --seeds 5 [--tokens N]

Every ingredient is an ordinary mutation, and modern.yaml is their stack on baseline.yaml (a test holds that). A row
takes one ingredient back to baseline's value; its gain is bits per byte of validation lost without it, by paired seeds.
May not: decide what is in the recipe.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import machine, report
from foundry.interface.progress import Display
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.runs.result import RunResult
from foundry.search.lab import Lab, Settings

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

INGREDIENTS: Mapping[str, tuple[str, str]] = {}
"""name → (the mutation of baseline that adds it, the mutation of modern that takes it back)."""


def stack(base: Recipe) -> Recipe:
    """`base` with every ingredient."""
    return mutate(base, "+".join(add for add, _ in INGREDIENTS.values()))[0]


def rows(lab: Lab, modern: Recipe, baseline: Recipe, tokens: int, seeds: range) -> list[dict[str, object]]:
    """A row a recipe: modern, modern without each ingredient, baseline; all at `tokens`."""
    recipes = {"modern": modern, **{f"without {n}": mutate(modern, back)[0] for n, (_, back) in INGREDIENTS.items()}}
    recipes["baseline"] = baseline
    arms = {name: lab.arm_of(recipe, tokens) for name, recipe in recipes.items()}
    results = lab.gather([(arm, seed) for arm in arms.values() for seed in seeds])
    scores: dict[str, list[float]] = {}
    for name, chunk in zip(arms, _chunks(results, len(seeds)), strict=True):
        scores[name] = [math.nan if result.bpb is None else result.bpb for result in chunk]
    return [
        {"recipe": name, "bpb": statistics.fmean(own), "lost": statistics.fmean(lost), "±": _half_width(lost)}
        for name, own in scores.items()
        for lost in [[mine - best for mine, best in zip(own, scores["modern"], strict=True)]]
    ]


def _chunks(items: list[RunResult], size: int) -> list[list[RunResult]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _half_width(differences: list[float]) -> float:
    """Of a 95% interval by t."""
    from scipy import stats

    n = len(differences)
    return float(stats.t.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)) if n > 1 else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tokens", type=int, help="of every run; modern.yaml's own budget by default")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    modern, baseline = (Recipe.load(EXPERIMENTS / f"{name}.yaml") for name in ("modern", "baseline"))
    with Display() as display, Lab(Settings(jobs=options.jobs), display, display.say) as lab:
        tokens = options.tokens or modern.budget.tokens
        found = rows(lab, modern, baseline, tokens, range(1, options.seeds + 1))
    report("ablations", {"machine": machine(), "tokens": tokens, "seeds": options.seeds}, found, options.out)


if __name__ == "__main__":
    main()
