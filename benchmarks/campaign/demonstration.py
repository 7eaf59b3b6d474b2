"""What a campaign came to, measured again: `python -m benchmarks.campaign.demonstration`, in its working directory.

Every recipe that was champion, the first one included, and a mark to aim at (experiments/modern.yaml, with as many
FLOPs a run as the first champion) are trained on seeds that the campaign never saw. Writes the shares of the distance
to the mark that were recovered, by compute, as JSON, a table and a picture. May not: promote, or count a claim.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.measuring import half_width, machine
from foundry.campaign.state import State
from foundry.compare.calibrate import candidate_arm
from foundry.compare.match import Arm
from foundry.compare.session import Lab, Settings
from foundry.core.files import write_json
from foundry.interface.progress import Display
from foundry.ledger.ledger import Ledger
from foundry.promote.promote import track_of
from foundry.recipe import Recipe

UNSEEN = 10**9
"""Seeds from here on belong to no campaign."""
SPLIT = "certification"


@dataclass(frozen=True)
class Step:
    """A promotion, and what the campaign had used until then."""

    point: str
    word: str
    runs: int
    flops: float
    hours: float


def steps(ledger: Ledger, track: str) -> Iterator[Step]:
    """The champions of a campaign in their order, the first with nothing used."""
    state = State()
    for event in ledger.campaigns.events(track):
        before = state.champion
        state.fold(event)
        if state.champion != before:
            removed = event.get("removed")
            word = f"without {removed}" if removed else " + ".join(move["word"] for move in event.get("moves", ()))
            yield Step(state.champion, word, state.runs, state.flops, state.seconds / 3600)


def measured(lab: Lab, arms: list[Arm], seeds: range) -> list[list[float]]:
    """Scores of each arm, by seed."""
    asked = [(arm, UNSEEN + seed) for arm in arms for seed in seeds]
    results = lab.gather(asked, SPLIT)
    if failed := [result for result in results if result.bpb is None]:
        raise SystemExit(f"a run failed: {failed[0].reason}: {failed[0].detail}")
    scores = [result.bpb for result in results if result.bpb is not None]
    return [scores[i : i + len(seeds)] for i in range(0, len(scores), len(seeds))]


def document(lab: Lab, track: str, mark: Recipe, seeds: range) -> dict[str, Any]:
    found = list(steps(lab.ledger, track))
    if not found:
        raise SystemExit(f"no campaign on {track} in this ledger")
    rows = [lab.ledger.recipes.get(step.point) for step in found]
    recipes = [Recipe.from_dict(json.loads(row["content"])) for row in rows if row is not None]
    first = lab.arm_of(recipes[0])
    aimed, match = candidate_arm(lab, first, mark, None)
    *own, at_mark = measured(lab, [first, *(lab.arm_of(recipe) for recipe in recipes[1:]), aimed], seeds)
    champions = []
    for step, scores in zip(found, own, strict=True):
        pairs = zip(own[0], scores, at_mark, strict=True)
        shares = [(base - score) / (base - aim) for base, score, aim in pairs]
        share = (fmean(own[0]) - fmean(scores)) / (fmean(own[0]) - fmean(at_mark))
        champions.append(
            {**vars(step), "bpb": fmean(scores), "share": share, "±": half_width(shares), "scores": scores}
        )
    return {"machine": machine(), "match": match, "seeds": len(seeds), "mark": fmean(at_mark), "champions": champions}


def picture(found: dict[str, Any], path: Path) -> None:
    """Bits per byte of the champion against compute, promotions marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    champions = found["champions"]
    figure, axis = plt.subplots(figsize=(9, 4.5))
    runs, scores = [row["runs"] for row in champions], [row["bpb"] for row in champions]
    axis.step([*runs, max(runs[-1] * 1.1, 1)], [*scores, scores[-1]], where="post", linewidth=2)
    axis.plot(runs[1:], scores[1:], "o", label="promotion")
    for row in champions[1:]:
        words = row["word"].replace(" + ", "\n").replace("+", "\n")
        axis.annotate(words, (row["runs"], row["bpb"]), fontsize=7, xytext=(4, 4), textcoords="offset points")
    axis.set_xlim(right=max(1.6 * runs[-1], 1))  # room for the last promotion's words
    goal = scores[0] + 0.8 * (found["mark"] - scores[0])
    axis.axhline(found["mark"], color="grey", linestyle="--", label="experiments/modern.yaml")
    axis.axhline(goal, color="grey", linestyle=":", label="80 % of the way")
    axis.set_xlabel("runs that the campaign had used")
    axis.set_ylabel("bits per byte, unseen seeds")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, default=Path("experiments/baseline.yaml"), help="the campaign's")
    parser.add_argument("--mark", type=Path, default=Path("experiments/modern.yaml"), help="the recipe to aim at")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/demonstration.json"))
    options = parser.parse_args(arguments)
    with Display() as display, Lab(Settings(jobs=options.jobs), display, display.say) as lab:
        found = document(lab, track_of(options.baseline), Recipe.load(options.mark), range(options.seeds))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, found)
    picture(found, options.out.with_suffix(".png"))
    for row in found["champions"]:
        print(f"{row['runs']:6d} runs  {row['bpb']:.4f} bpb  {row['share']:6.1%} ± {row['±']:.1%}  {row['word']}")
    print(f"{'mark':>11}  {found['mark']:.4f} bpb  {options.mark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
