"""What honest changes keep of their gain on another text: `python -m benchmarks.verdicts.texts` (two minutes).

Each change of tiny.yaml beside what it changes, on both texts, on paired seeds. May not: judge, or read a user's runs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import fmean, stdev

from foundry.compare.session import Lab, Settings
from foundry.mutate import mutate
from foundry.recipe import Recipe

TINY = Recipe.load(Path(__file__).parent / "tiny.yaml")
CHANGES: dict[str, tuple[str, str]] = {
    "no positions → rope": ("position:none", ""),
    "lr / 3 → lr": ("lr:4e-3", ""),
    "batch 12 → 6": ("", "batch_size:6"),
    "one layer → two": ("", "depth:2"),
    "GELU → relu²": ("", "activation:relu2"),
    "AdamW → Muon, same rate": ("", "optimizer:muon"),
}
"""Name → mutations of tiny.yaml that make the recipe before and after."""
TEXTS = ("builtin:shakespeare", "builtin:networkx")
SEEDS = range(1, 6)


def gains(lab: Lab, before: str, after: str, text: str) -> list[float]:
    arms = [lab.arm_of((mutate(TINY, word)[0] if word else TINY).on_text(text)) for word in (before, after)]
    results = lab.gather([(arm, seed) for seed in SEEDS for arm in arms])
    scores = [result.bpb for result in results]
    return [a - b for a, b in zip(scores[::2], scores[1::2], strict=True) if a is not None and b is not None]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FOUNDRY_RUNS"] = folder
        with Lab(Settings(device="cpu")) as lab:
            for name, (before, after) in CHANGES.items():
                here, there = (gains(lab, before, after, text) for text in TEXTS)
                told = "  ".join(f"{fmean(each):+.3f} ± {stdev(each):.3f}" for each in (here, there))
                print(f"{name:26}{told}  kept {fmean(there) / fmean(here):.2f}", flush=True)


if __name__ == "__main__":
    main()
