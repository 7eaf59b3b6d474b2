"""Planted effects, replayed from recorded runs: handicaps of the baseline, nudges, a focal loss, another best rate.

A handicap is planted in the baseline and the candidate is its mend; a harmful plant is the candidate. Each replay
draws screening, deciding and fresh pairs from the table's seeds, none of them twice. May not: train.

Shapes: R replays, N pairs, M fresh pairs, S seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.verdicts import rules
from foundry.core.errors import RequestError
from foundry.stats.power import Booleans, Floats, Integers

Table = dict[str, dict[int, float]]

BASELINE = "baseline"
FRESH = 8  # as compare/comparison.py re-measures
NUDGES = ("lr × 1.0001", "init_std × 1.0001", "weight_decay × 1.0001", "eps × 2")
HANDICAPS = ("lr / 3", "no warmup", "no positions", "beta2 0.5")
HARMFUL = "focal loss"
SMALL_BPB = 0.001
"""A gain that nobody would want: δ_min for the nudges, which change recipes by about a hundredth of it."""
GRID = (0.5, 1, 2)
TUNING_SEEDS = 2


def report(table: Table, replays: int, pairs: int, seed: int) -> dict[str, Any]:
    """What becomes of each plant that the table has runs of. Raises RequestError for a table too small."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {"pairs": pairs, "fresh_pairs": FRESH, "replays": replays}
    if BASELINE not in table:
        return found
    mends = [name for name in HANDICAPS if name in table]
    found["mends"] = [row(table, name, BASELINE, replays, pairs, rng) for name in mends]
    worse = [name for name in (HARMFUL, *HANDICAPS) if name in table]
    found["harmful"] = [row(table, BASELINE, name, replays, pairs, rng) for name in worse]
    nudged = [name for name in NUDGES if name in table]
    for key, least in (("nudges", 0.0), ("nudges_beyond_small", SMALL_BPB)):
        found[key] = [row(table, BASELINE, name, replays, pairs, rng, least) for name in nudged]
    if f"{NUDGES[0]}, fresh" in table:
        found["nudge_on_fresh_seeds"] = row(table, f"{BASELINE}, fresh", f"{NUDGES[0]}, fresh", replays, pairs, rng)
    if all(f"large, lr × {factor}" in table for factor in GRID):
        found["tuning"] = tuning(table, replays, pairs, rng)
    return found


def row(
    table: Table, base: str, cand: str, replays: int, pairs: int, rng: np.random.Generator, least_bpb: float = 0.0
) -> dict[str, Any]:
    """Chances of promotion at α = 0.01 and 0.05, guards and all, and what the pairs are like."""
    base_S, cand_S = _aligned(table, (base, cand), pairs + FRESH)
    difference_S = base_S - cand_S
    order_RS = _orders(rng, replays, len(base_S))
    described = {
        "baseline": base,
        "candidate": cand,
        "effect_bpb": float(np.nanmean(difference_S)),
        "sd_bpb": float(np.nanstd(difference_S, ddof=1)),
        "t": float(
            np.nanmean(difference_S) / np.nanstd(difference_S, ddof=1) * np.sqrt(np.isfinite(difference_S).sum())
        ),
        "correlation": float(np.corrcoef(*_finished(base_S, cand_S))[0, 1]),
        "failures": int(np.isnan(cand_S).sum()),
    }
    for alpha in (0.01, 0.05):
        promoted_R, used_R = promotions(base_S[order_RS], cand_S[order_RS], pairs, alpha, least_bpb)
        described[f"alpha_{alpha}"] = rules.rate_of(promoted_R) | {"pairs_used": float(used_R.mean())}
    return described


def promotions(
    base_RS: Floats, cand_RS: Floats, pairs: int, alpha: float, least_bpb: float = 0.0
) -> tuple[Booleans, Integers]:
    """Certification on the first N pairs of each row, then the tail guard on the FRESH pairs after them. σ₀ is the
    spread of the pairs after those, as screening and earlier tests would give it; of all pairs where there are few."""
    difference_RS = base_RS - cand_RS
    rest = difference_RS.shape[1] - pairs - FRESH
    others_RS = difference_RS[:, pairs + FRESH :] if rest >= 4 else difference_RS
    sigma0_R = np.maximum(np.nanstd(others_RS, axis=1, ddof=1), 1e-9)
    decided_RN, fresh_RM = difference_RS[:, :pairs], difference_RS[:, pairs : pairs + FRESH]
    shifted_RN = base_RS[:, :pairs] - least_bpb
    promoted_R, used_R = rules.certified(shifted_RN, cand_RS[:, :pairs], alpha, pairs, sigma0_R)
    passed_R = rules.unblocked(decided_RN, used_R, fresh_RM) & ~np.isnan(cand_RS[:, pairs : pairs + FRESH]).any(1)
    return promoted_R & passed_R, used_R


def tuning(table: Table, replays: int, pairs: int, rng: np.random.Generator) -> dict[str, Any]:
    """An architecture that wants another rate, at the baseline's rate, and with `--tune lr`: each arm at its best of
    the grid on two screening seeds, then the tuned candidate against the tuned baseline and the champion as it is."""
    names = [BASELINE if factor == 1 else f"baseline, lr × {factor}" for factor in GRID]
    names += [f"large, lr × {factor}" for factor in GRID]
    scores_XS = np.array(_aligned(table, names, TUNING_SEEDS + pairs + FRESH))
    order_RS = _orders(rng, replays, scores_XS.shape[1])
    scores_XRS = scores_XS[:, order_RS]
    screened_XR = scores_XRS[:, :, :TUNING_SEEDS].mean(-1)
    fresh_XRS = scores_XRS[:, :, TUNING_SEEDS:]
    rows = np.arange(replays)
    best_R = np.nan_to_num(screened_XR[:3], nan=np.inf).argmin(0)
    large_R = 3 + np.nan_to_num(screened_XR[3:], nan=np.inf).argmin(0)
    champion_RS, untuned_RS = fresh_XRS[1], fresh_XRS[4]
    tuned_base_RS, tuned_RS = fresh_XRS[best_R, rows], fresh_XRS[large_R, rows]
    untuned_R, _ = promotions(champion_RS, untuned_RS, pairs, 0.01)
    against_champion_R, used_R = promotions(champion_RS, tuned_RS, pairs, 0.01)
    against_tuned_R, _ = promotions(tuned_base_RS, tuned_RS, pairs, 0.05)
    truth_X = np.nanmean(scores_XS, axis=1)
    return {
        "mean_bpb": dict(zip(names, map(float, truth_X), strict=True)),
        "promoted_untuned": rules.rate_of(untuned_R),
        "promoted_tuned": rules.rate_of(against_champion_R & (against_tuned_R | (best_R == 1))),
        "pairs_used": float(used_R.mean()),
        "rate_of_baseline": {str(f): float((best_R == i).mean()) for i, f in enumerate(GRID)},
        "rate_of_candidate": {str(f): float((large_R == 3 + i).mean()) for i, f in enumerate(GRID)},
    }


def _aligned(table: Table, names: Any, least: int) -> list[Floats]:
    """The recipes' scores over the seeds that all of them have. Raises RequestError."""
    seeds = sorted(set.intersection(*(set(table[name]) for name in names)))
    if len(seeds) < least:
        got = f"{len(seeds)} common seeds of {', '.join(names)}"
        raise RequestError("verdicts.small_table", "table", f"{least} common seeds at least", got=got)
    return [np.array([table[name][seed] for seed in seeds]) for name in names]


def _finished(base_S: Floats, cand_S: Floats) -> tuple[Floats, Floats]:
    both_S = ~np.isnan(base_S) & ~np.isnan(cand_S)
    return base_S[both_S], cand_S[both_S]


def _orders(rng: np.random.Generator, replays: int, seeds: int) -> Any:
    """(R, S): the seeds in random order, anew for each replay."""
    return np.argsort(rng.random((replays, seeds)), axis=1)
