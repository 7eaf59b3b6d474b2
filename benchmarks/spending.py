"""What honest code and spendthrifts use of CPU for each FLOP that is counted, as a multiple of the built-in baseline's.

    python -m benchmarks.spending --pairs 3      every built-in part as workspace code, slow honest parts, cheats

From these figures the bound of judge/spending.py was chosen. Everything runs as a certification's pairs do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import foundry
from benchmarks.cheats import catalogue
from foundry.compare.calibrate import candidate_arm
from foundry.compare.match import Arm, cost_of
from foundry.compare.session import Lab, Settings
from foundry.core import yaml_io
from foundry.core.errors import FoundryError
from foundry.execute.result import Limits, RunResult
from foundry.recipe import Recipe
from foundry.sandbox import TIERS
from foundry.stats.spending import excess, judged_excess, judging_guard, spending_guard
from foundry.stats.verdict import Match
from tests.home import ROOT, write_tiny

SPENDERS = ROOT / "tests" / "cheats" / "spenders"
HONEST = ("by_hand", "in_a_loop", "looks_up")
CHEATS = (
    *("two_steps", "eight_steps", "replays", "counts_less", "forges_flops", "works_unseen"),
    *("warms", "learns_when_judged", "kills_itself"),
)
SLOTS = ("model.attention", "model.norm", "model.activation", "model.position", "train.optimizer")
TINY_STEPS = 60


@dataclass(frozen=True)
class Spent:
    """A part's pairs: what it used, whether the guard let it pass, and what it gained by plain count."""

    name: str
    ratios: tuple[float, ...]
    passed: bool
    gain_bpb: float
    tokens: float
    """As a multiple of the baseline's."""
    why: str = ""
    judged: tuple[float, ...] = ()
    """As `ratios`, of the processes that were judged."""


def lay_out(workspace: Path) -> list[tuple[str, str]]:
    """Parts as workspace code: (where in the recipe, kind). Built-in ones are named own_KIND."""
    parts = []
    for at in SLOTS:
        slot = at.partition(".")[2]
        for file in sorted((Path(foundry.__file__).parent / "modules" / slot).glob("[a-z]*.py")):
            (workspace / "modules" / slot).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, workspace / "modules" / slot / f"own_{file.name}")
            parts.append((at, f"own_{file.stem}"))
    for folder in (catalogue.workspace("zoo"), SPENDERS):
        shutil.copytree(folder, workspace, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for file in sorted((folder / "modules").glob("*/[a-z]*.py")):
            at = next((at for at in SLOTS if at.endswith(f".{file.parent.name}")), "")
            if at:
                parts.append((at, file.stem))
    return parts


@contextmanager
def home(folder: Path, tiny: bool = True) -> Iterator[list[tuple[str, str]]]:
    """A working directory with a baseline and all parts in its workspace."""
    before, environment = Path.cwd(), dict(os.environ)
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ["FOUNDRY_WORKSPACE"] = str(folder / "workspace")
    try:
        parts = lay_out(folder / "workspace")
        sizes = {} if tiny else {"layers": 4, "width": 128, "context": 64}
        changes = {f"model__{name}": value for name, value in sizes.items()}
        if not tiny:
            changes |= {"model__attention__heads": 4, "model__attention__kv_heads": 4, "train__batch_size": 12}
        tokens = TINY_STEPS * (64 if tiny else 768)
        write_tiny(folder / "baseline.yaml", **changes, budget__tokens=tokens)
        yield parts
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


def recipe(at: str, kind: str) -> Recipe:
    """The baseline with another kind in one place, and of its fields those that the kind's file speaks of."""
    values = yaml_io.load(Path("baseline.yaml"))
    section, _, slot = at.partition(".")
    text, old = (Path("workspace/modules") / slot / f"{kind}.py").read_text(), values[section][slot]
    grouped = "gqa." in text or "GroupedConfig" in text
    kept = {name: old[name] for name in ("heads", "kv_heads", "lr") if name in old and (grouped or name != "kv_heads")}
    values[section][slot] = {**kept, "kind": kind}
    return Recipe.from_dict({**values, "name": kind})


def spent(lab: Lab, baseline: Arm, at: str, kind: str, seeds: Sequence[int], match: Match = "flops") -> Spent:
    """One part against the baseline on these seeds, both confined."""
    try:
        arm, _ = candidate_arm(lab, baseline, recipe(at, kind), match)
        results = lab.gather([(replace(a, confined=True), seed) for seed in seeds for a in (baseline, arm)])
    except FoundryError as error:
        return Spent(kind, (), False, 0.0, 0.0, str(error))
    if failed := next((result for result in results if not result.ok), None):
        return Spent(kind, (), False, 0.0, 0.0, f"{failed.reason}: {failed.detail}")
    pairs = list(zip(results[::2], results[1::2], strict=True))
    costs = [(cost_of([a]), cost_of([b])) for a, b in pairs]
    guards = (spending_guard(costs, match), judging_guard(costs, match))
    passed = all(guard is not None and guard.passed for guard in guards)
    ratios, judged = (
        tuple(ratio for pair in costs if (ratio := of(*pair, match)) is not None) for of in (excess, judged_excess)
    )
    return Spent(kind, ratios, passed, _gain(pairs), arm.tokens / baseline.tokens, judged=judged)


def _gain(pairs: Sequence[tuple[RunResult, RunResult]]) -> float:
    return fmean((a.bpb or 0.0) - (b.bpb or 0.0) for a, b in pairs)


def small_lab(tier: str) -> Lab:
    lab = Lab(Settings(jobs=2, device="cpu", judged_bytes=2048, limits=Limits(900.0, 300.0, 1 << 30)))
    lab.engine.guard.tier = tier
    return lab


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spending", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--tier", choices=TIERS, default="landlock")
    parser.add_argument("--size", choices=("tiny", "shipped"), default="tiny")
    parser.add_argument("--only", nargs="+", help="kinds")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        parts = stack.enter_context(home(Path(folder) / "home", options.size == "tiny"))
        lab = stack.enter_context(small_lab(options.tier))
        baseline = lab.arm_of(Recipe.load(Path("baseline.yaml")))
        for at, kind in parts:
            if options.only is None or kind in options.only:
                one = spent(lab, baseline, at, kind, range(options.pairs))
                ratios = " ".join(f"{ratio:.2f}" for ratio in one.ratios)
                told = f"{median(one.ratios):6.2f} × CPU ({ratios})" if one.ratios else one.why
                told += f", judged {median(one.judged):.2f} ×" if one.judged else ""
                more = f"{one.tokens:5.2f} × tokens {one.gain_bpb:+.3f} bpb" if one.ratios else ""
                print(f"{at.partition('.')[2]:10} {kind:24} {told} {more}", flush=True)


if __name__ == "__main__":
    main()
