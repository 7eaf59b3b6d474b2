"""Foundry against karpathy/nanoGPT on one text: tokens a second at one model and batch, and time to its final loss.

    python benchmarks/nanogpt.py --nanogpt DIR --text FILE

DIR is an unmodified checkout; its own train.py trains, with the settings of its README for a CPU. Both sides have the
same data, threads and device, start-up and evaluation are left out of both, and arms are measured in turn.

Speed: the same model (4 layers of 128, context 64, batch 12, tied head, dropout 0), eager and compiled.
Loss: nanoGPT for its 2,000 steps, Foundry with `--recipe` and budgets from `--steps` on, until the median over seeds of
the loss of one fixed full pass over the validation text is at or below nanoGPT's. Parameters are reported for both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.characters import Characters, full_pass, prepare
from benchmarks.contestants import NanoGPT, foundry_logits_of, train_foundry
from benchmarks.measuring import in_turn, machine, median, paired_ratio, report
from foundry.recipe import Recipe

CONTEXT, BATCH, STEPS = 64, 12, 2000
README = {
    "device": "cpu",
    "dtype": "float32",
    "gradient_accumulation_steps": 1,
    "block_size": CONTEXT,
    "batch_size": BATCH,
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "dropout": 0.0,
    "bias": False,
    "learning_rate": 1e-3,
    "min_lr": 1e-4,
    "warmup_iters": 100,
    "beta2": 0.99,
    "lr_decay_iters": STEPS,
}
"""config/train_shakespeare_char.py with the README's flags for a CPU, spelled out."""
ALL = ("eager", "compiled", "loss")
BASELINE = Path(__file__).parents[1] / "experiments" / "baseline.yaml"


class Bench:
    """One comparison's places and options."""

    def __init__(self, options: argparse.Namespace, place: Path) -> None:
        self.options, self.place = options, place
        self.nanogpt = NanoGPT(options.nanogpt, place / "nanogpt")
        text = options.text.read_text()
        self.text: Characters = prepare(text, self.nanogpt.data, place / "tokens")
        self.count = 0

    def payload(self, recipe: Recipe, steps: int, seed: int, compile: str = "never") -> dict[str, Any]:
        self.count += 1
        plain = recipe.to_dict()
        return {
            "model": plain["model"],
            "train": plain["train"],
            "seed": seed,
            "steps": steps,
            "vocab_size": self.text.vocab_size,
            "train_dir": str(self.text.train_dir),
            "out": str(self.place / f"run{self.count}"),
            "device": "cpu",
            "threads": self.options.threads,
            "checkpoint_seconds": 3600.0,
            "compile": compile,
        }

    # -- speed -----------------------------------------------------------------------------------------------------

    def speed(self, compiled: bool) -> dict[str, Any]:
        """Tokens a second of both, by the steps between a warm-up and the end."""
        warm, last = (30, 30 + self.options.speed_steps)
        tokens = BATCH * CONTEXT
        never = {"eval_interval": 10**9, "eval_iters": 1, "max_iters": last}

        def ours() -> float:
            payload = self.payload(Recipe.load(BASELINE), last, 0, "always" if compiled else "never")
            return tokens / train_foundry(payload, warm, last).step_seconds

        def theirs() -> float:
            settings = {**README, **never, "compile": compiled}
            return tokens / self.nanogpt.train(settings, warm, last, self.options.threads).step_seconds

        found = in_turn({"foundry": ours, "nanogpt": theirs}, self.options.rounds)
        return {
            "what": f"tokens/s, {'compiled' if compiled else 'eager'}",
            "foundry": median(found["foundry"]),
            "nanogpt": median(found["nanogpt"]),
            "ratio": paired_ratio(found["foundry"], found["nanogpt"]),
            "all": found,
        }

    # -- loss ------------------------------------------------------------------------------------------------------

    def their_run(self, seed: int) -> dict[str, float]:
        """nanoGPT's whole run: seconds of its steps, and its final loss."""
        out = f"out{seed}"
        final = {"eval_interval": STEPS, "eval_iters": 1, "always_save_checkpoint": True, "max_iters": STEPS}
        settings = {**README, **final, "compile": False, "out_dir": out}
        timing = self.nanogpt.train(settings, 0, STEPS - 1, self.options.threads, seed)
        logits_of, count = self.nanogpt.logits_of(out)
        loss = full_pass(logits_of, self.text.validation, CONTEXT)
        return {"loss": loss, "seconds": timing.step_seconds * STEPS, "wall": timing.wall_seconds, "parameters": count}

    def our_run(self, recipe: Recipe, steps: int, seed: int) -> dict[str, float]:
        payload = self.payload(recipe, steps, seed)
        timing = train_foundry(payload, 0 if steps < 20 else 2, steps)
        logits_of, count = foundry_logits_of(payload)
        loss = full_pass(logits_of, self.text.validation, recipe.model.context)
        return {"loss": loss, "seconds": timing.step_seconds * steps, "wall": timing.wall_seconds, "parameters": count}

    def loss(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Seconds to nanoGPT's final loss: the cheapest of Foundry's budgets whose median loss is at or below it."""
        recipe = Recipe.load(self.options.recipe)
        seeds = range(self.options.seeds)
        theirs: list[dict[str, float]] = []
        tried: list[dict[str, Any]] = []
        reached: dict[str, Any] | None = None
        for steps in self.options.steps or (recipe.steps(),):
            ours = []
            for seed in seeds:
                if len(theirs) <= seed:
                    theirs.append(self.their_run(seed))
                ours.append(self.our_run(recipe, steps, seed))
            target = median([run["loss"] for run in theirs])
            row = {"steps": steps, **{key: median([run[key] for run in ours]) for key in ours[0]}, "runs": ours}
            tried.append(row)
            if row["loss"] <= target:
                reached = row
                break
        target, seconds = (median([run[key] for run in theirs]) for key in ("loss", "seconds"))
        summary = {
            "what": f"seconds to loss {target:.4f}" + ("" if reached else " (not reached)"),
            "foundry": reached["seconds"] if reached else None,
            "nanogpt": seconds,
            "ratio": seconds / reached["seconds"] if reached else None,
            "all": {"theirs": theirs, "tried": tried},
        }
        return summary, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--text", type=Path, required=True, help="the text to train on, as characters")
    parser.add_argument("--recipe", type=Path, default=BASELINE, help="Foundry's recipe for the time to nanoGPT's loss")
    parser.add_argument("--steps", type=int, nargs="*", help="its budgets to try, rising; the recipe's own by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speed-steps", type=int, default=300, help="steps timed in each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=ALL, nargs="*", default=ALL, help="some of the comparisons")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(options, Path(place))
        rows += [bench.speed(compiled=kind == "compiled") for kind in ("eager", "compiled") if kind in options.only]
        if "loss" in options.only:
            rows.append(bench.loss()[0])
    details = {row["what"]: row.pop("all") for row in rows}
    report("nanogpt", {"machine": machine(), "threads": options.threads, "details": details}, rows, options.out)


if __name__ == "__main__":
    main()
