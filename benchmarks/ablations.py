"""What each ingredient of experiments/modern.yaml is worth: modern without it, on the same seeds and tokens.

    python -m benchmarks.ablations --seeds 5 [--tokens N]

Every ingredient is an ordinary mutation, and modern.yaml is their stack on baseline.yaml (a test holds that). A row
takes one of them back; `lost` is in bits per byte of validation, by paired seeds.
May not: decide what is in the recipe.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import half_width, machine, report
from foundry.compare.session import Lab, Settings
from foundry.execute.result import RunResult
from foundry.interface.progress import Display
from foundry.mutate import mutate
from foundry.recipe import Recipe

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

STACK = (
    "set:train.optimizer={kind: muon, lr: 0.012, momentum: 0.9, adam_lr: 0.01}",
    "set:train.schedule={kind: linear, warmup: 0.02, floor: 0.0}",
    "set:model.norm={kind: qknorm, gain: false}",
    "position:rope",
    "activation:relu2",
    "values:embeddings",
    "residual:start",
    "head:untied_zero",
    "init:zero",
    "softcap:30",
    "batch_size:8",
    "grad_clip:0",
)
"""What makes modern.yaml of baseline.yaml."""

WITHOUT: Mapping[str, str] = {
    "Muon (AdamW, lr 4e-3)": "set:train.optimizer={kind: adamw, lr: 4e-3, betas: [0.9, 0.99], weight_decay: 0.1}",
    "the linear schedule (cosine)": "set:train.schedule={kind: cosine, warmup: 0.02, floor: 0.1}",
    "the short warmup (.1)": "warmup:0.1",
    "QK-norm": "set:model.norm={kind: rmsnorm, gain: false}",
    "gain-free norms": "set:model.norm.gain=true",
    "rope (learned positions)": "position:learned",
    "relu² (GELU)": "activation:gelu",
    "value embeddings": "values:plain",
    "value embeddings (value residual)": "values:residual",
    "the start in the residual": "residual:plain",
    "the untied zero head (tied)": "head:tied",
    "zero-init projections": "init:scaled",
    "the softcap": "softcap:0",
    "the small batch (12)": "batch_size:12",
    "free gradients (clip 1)": "grad_clip:1.0",
    "nothing, with cautious decay .1": "set:train.optimizer.weight_decay=0.1+set:train.optimizer.cautious=true",
}
"""Ingredient → the mutation of modern.yaml that takes it back, or another choice in its place."""


def rows(lab: Lab, modern: Recipe, baseline: Recipe, tokens: int, seeds: range) -> list[dict[str, object]]:
    """A row a recipe: modern, modern without each ingredient, baseline; all at `tokens`."""
    recipes = {"modern": modern, **{f"without {name}": mutate(modern, back)[0] for name, back in WITHOUT.items()}}
    recipes["baseline"] = baseline
    arms = {name: lab.arm_of(recipe, tokens) for name, recipe in recipes.items()}
    results = lab.gather([(arm, seed) for arm in arms.values() for seed in seeds])
    scores: dict[str, list[float]] = {}
    for name, chunk in zip(arms, _chunks(results, len(seeds)), strict=True):
        scores[name] = [math.nan if result.bpb is None else result.bpb for result in chunk]
    return [
        {"recipe": name, "bpb": statistics.fmean(own), "lost": statistics.fmean(lost), "±": half_width(lost)}
        for name, own in scores.items()
        for lost in [[mine - best for mine, best in zip(own, scores["modern"], strict=True)]]
    ]


def _chunks(items: list[RunResult], size: int) -> list[list[RunResult]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


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
