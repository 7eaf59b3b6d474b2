"""`reproduce PROMOTION`: the promotion's runs trained again from what the ledger holds, and compared with the record.

Recipe and workspace code are rebuilt from the ledger, the data is checked by its hash, the seeds are those of the
re-measurement, and nothing that was trained before is at hand. May not: change the ledger that it reads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from foundry.compare.session import Lab, Say, Settings
from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.documents.campaign import Reproduced, ReproducedRun
from foundry.documents.comparison import Comparison
from foundry.documents.runs import PromotionShown
from foundry.execute.result import RunResult, Watcher
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.ledger.recorded_code import WORKSPACE, rebuild
from foundry.ledger.run_spec import RunSpec
from foundry.recipe import Recipe

_RECORDED = """
    SELECT runs.id, seed, budget_tokens, data_hash, judged_hash, device, bpb, bytes, protocol FROM runs
    JOIN scores ON scores.run = runs.id WHERE recipe = ? AND seed = ? AND split = ? AND budget_tokens = ?
    ORDER BY scores.seq DESC LIMIT 1"""


def reproduce(name: str, pairs: int, jobs: int, device: str, watcher: Watcher, say: Say) -> Reproduced:
    """The promotion's runs again, beside the record. Raises RequestError for what isn't a promotion on a verdict;
    WorkError for other data, or a damaged record."""
    promotion = queries.show(name)
    if not isinstance(promotion, PromotionShown) or promotion.comparison is None:
        what = promotion.promotion_kind if isinstance(promotion, PromotionShown) else promotion.kind
        message = f"a {what} has no verdict to reproduce"
        raise RequestError("reproduce.not_a_promotion", name, message, hint="foundry lineage --json lists promotions")
    verdict = queries.comparison(promotion.comparison)
    failed = {run.seed for arm in verdict.arms for run in arm.runs if run.val_bpb is None}
    seeds = (verdict.remeasured_seeds or tuple(seed for seed in verdict.seeds if seed not in failed))[:pairs]
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=places.runs().absolute()) as folder:
        rows: list[ReproducedRun] = []
        for side, arm in zip(("baseline", "candidate"), verdict.arms, strict=True):
            with Ledger.open() as ledger:
                rebuild(ledger, arm.recipe, Path(folder) / side)
            recorded = [_recorded(arm.recipe, seed, verdict.split, arm.budget_tokens) for seed in seeds]
            say(f"training {len(seeds)} runs of the {side} again, from nothing")
            there = Path(folder) / side
            with places.within(FOUNDRY_RUNS=there / "runs", FOUNDRY_WORKSPACE=there / WORKSPACE):
                results = _again(there, recorded, verdict.split, (jobs, device), watcher, say)
            rows += [_row(side, old, new) for old, new in zip(recorded, results, strict=True)]
    return _document(promotion, verdict, rows)


def _recorded(fingerprint: str, seed: int, split: str, tokens: int) -> dict[str, Any]:
    with queries.reading() as file:
        row = file.row(_RECORDED, fingerprint, seed, split, tokens) if file is not None else None
    if row is None:
        raise WorkError("reproduce.not_recorded", fingerprint[:12], f"the ledger has no score of seed {seed}")
    return row


def _again(
    folder: Path, recorded: list[dict[str, Any]], split: str, where: tuple[int, str], watcher: Watcher, say: Say
) -> list[RunResult]:
    judged_bytes = int(recorded[0]["protocol"].rpartition(", ")[2].removesuffix(" bytes"))
    with Lab(Settings(*where, judged_bytes=judged_bytes), watcher, say) as lab:
        recipe = Recipe.load(folder / "recipe.yaml")
        data = lab.data(recipe)
        used = {"train on": (data.hash, "data_hash"), "judge by": (data.judged_hash, "judged_hash")}
        for use, (here, recorded_as) in used.items():
            if here != (was := recorded[0][recorded_as]):
                message = f"the text to {use} is {here[:12]} here and was {was[:12]}"
                raise WorkError(
                    "reproduce.other_data", recipe.data.source, message, hint="restore the corpus as it was"
                )
        lab.arm_of(recipe)  # what its model costs is known afterwards
        specs = [RunSpec(recipe, row["seed"], row["budget_tokens"], data.hash) for row in recorded]
        changed = [spec.id for spec, row in zip(specs, recorded, strict=True) if spec.id != row["id"]]
        if changed:
            message = "this Foundry would train another run than the recorded one"
            raise WorkError(
                "reproduce.other_run", recorded[0]["id"][:12], message, hint="use the version of the record"
            )
        return lab.engine.gather([(spec, data) for spec in specs], split)


def _row(side: str, old: dict[str, Any], new: RunResult) -> ReproducedRun:
    return ReproducedRun(
        arm=side,
        run=old["id"],
        seed=old["seed"],
        recorded_bpb=old["bpb"],
        again_bpb=new.bpb,
        status=new.reason or new.status,
        equal=new.bpb == old["bpb"],
        device=(old["device"], new.facts.get("device")),
    )


def _document(promotion: PromotionShown, verdict: Comparison, rows: list[ReproducedRun]) -> Reproduced:
    half = len(rows) // 2
    pairs = [(a.again_bpb, b.again_bpb) for a, b in zip(rows[:half], rows[half:], strict=True)]
    gains = [a - b for a, b in pairs if a is not None and b is not None]
    effect = fmean(gains) if len(gains) == half else None
    recorded = verdict.remeasured or verdict  # a campaign's was measured again later, with others
    assert recorded.effect_bpb is not None and recorded.interval_bpb is not None and promotion.comparison is not None
    exact = all(row.equal for row in rows)
    within = effect is not None and recorded.interval_bpb[0] <= effect <= recorded.interval_bpb[1]
    return Reproduced(
        promotion=promotion.promotion,
        mutation=promotion.mutation,
        comparison=promotion.comparison,
        recorded_effect_bpb=recorded.effect_bpb,
        recorded_interval_bpb=recorded.interval_bpb,
        effect_bpb=effect,
        pairs=half,
        bit_for_bit=exact,
        within_interval=within,
        reproduced=exact or within,
        runs=tuple(rows),
    )
