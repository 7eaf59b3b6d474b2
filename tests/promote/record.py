"""The record of runs: what a few tiny recipes scored, and a verdict over them, on one machine and version of torch.

    python -m tests.promote.record        writes tests/promote/record.json

A change that isn't meant to change numbers changes none of these. Made anew where one is meant to, with the log saying
so.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from foundry.compare.compare import compare
from foundry.compare.comparison import Rules
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.train.device import hardware
from tests.home import small_lab, write_tiny
from tests.ledger.keep import text

RECORD = Path(__file__).parent / "record.json"
A, B = Path("a.yaml"), Path("b.yaml")
WORDS = ("norm:rmsnorm", "activation:swiglu", "attention:gqa_1kv", "optimizer:muon", "set:train.ema=0.9")
SEEDS = (1, 2, 3, 4, 5, 6)


def machine() -> dict[str, str]:
    """What numbers may depend on, bit for bit."""
    capability = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "cpu": hardware("cpu").partition(" x")[0], "capability": capability}


def measured() -> dict[str, Any]:
    """The scores and the verdict, in the working directory."""
    Path("text.txt").write_text(text())
    write_tiny(A, data__source="file:text.txt", train__optimizer__lr=1e-4, budget__tokens=64 * 20)
    baseline = Recipe.load(A)
    with small_lab() as lab:
        recipes = {"baseline": baseline, **{word: mutate(baseline, word)[0] for word in WORDS}}
        results = lab.gather([(lab.arm_of(recipe), 7) for recipe in recipes.values()])
        runs = {name: [each.bpb, each.facts["train_loss"]] for name, each in zip(recipes, results, strict=True)}
        mutate(baseline, "lr:1e-2")[0].save(B)
        told = compare(lab, A, B, Rules(), None, None, SEEDS, False, lambda *pair: None)
    keys = ("verdict", "effect_bpb", "interval_bpb", "n", "evidence")
    return {"runs": runs, "verdict": {key: told.to_dict()[key] for key in keys}}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["FOUNDRY_CACHE"], os.environ["FOUNDRY_KEYS"] = f"{folder}/cache", f"{folder}/keys"
        RECORD.write_text(json.dumps({"machine": machine(), **measured()}, indent=1) + "\n")
    print(RECORD.read_text())
