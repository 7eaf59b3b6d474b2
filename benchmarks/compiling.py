"""What torch.compile wins on a CPU and what it takes: one recipe eager and compiled, in turn, in a process each.

    python benchmarks/compiling.py [--recipe experiments/baseline.yaml] [--steps 300] [--rounds 5]

Step time is that of the steps after a warm-up. "pays from" is the length of a run, in steps, from which on compiling
has won back what it takes: the first time, and with the generated code in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.contestants import train_foundry
from benchmarks.measuring import in_turn, machine, median, paired_ratio, report
from foundry.data.prepare import prepare
from foundry.recipe import Recipe

BASELINE = Path(__file__).parents[1] / "experiments" / "baseline.yaml"
WARM = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=BASELINE)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    data, plain = prepare(recipe.data, lambda line: None), recipe.to_dict()
    with tempfile.TemporaryDirectory() as place:
        os.environ["FOUNDRY_CACHE"] = place  # nothing is compiled yet
        compiling: list[float] = []

        def step_seconds(mode: str) -> float:
            payload: dict[str, Any] = {
                "model": plain["model"],
                "train": plain["train"],
                "seed": 0,
                "steps": WARM + options.steps,
                "vocab_size": data.vocab_size,
                "train_dir": str(data.train_dir),
                "out": tempfile.mkdtemp(dir=place),
                "device": "cpu",
                "threads": options.threads,
                "compile": mode,
            }
            timing = train_foundry(payload, WARM, WARM + options.steps)
            if mode == "always":
                status = json.loads((Path(payload["out"]) / "status.json").read_text())
                compiling.append(status["compile_seconds"])
            return timing.step_seconds

        arms = {mode: lambda mode=mode: step_seconds(mode) for mode in ("never", "always")}
        found = in_turn(arms, options.rounds)
    eager, compiled = median(found["never"]), median(found["always"])
    won = eager - compiled
    again = median(compiling[1:]) if compiling[1:] else None
    row = {
        "recipe": options.recipe.name,
        "eager, s a step": eager,
        "compiled": compiled,
        "eager / compiled": paired_ratio(found["never"], found["always"]),
        "compiling, s": compiling[0],
        "again, s": again,
        "pays from": compiling[0] / won if won > 0 else None,
        "again from": again / won if won > 0 and again else None,
    }
    report("compiling", {"machine": machine(), "all": found, "compile_seconds": compiling}, [row], options.out)


if __name__ == "__main__":
    main()
