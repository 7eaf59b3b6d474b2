"""Replays on a made-up table: what Foundry claims is the truth, what has no effect isn't promoted, and both are seen
to fail where they should."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from benchmarks.campaign import factorial, methods, record
from benchmarks.campaign.measures import Measured, summary
from benchmarks.campaign.methods import Method
from benchmarks.campaign.replay import replays
from benchmarks.campaign.table import Kind, Table, TableWorld
from foundry.mutate import mutate
from tests.campaign import madeup

HORIZON = 150.0


def replayed(table: Table, method: Method, count: int, kind: Kind = "disjoint") -> list[list[Measured]]:
    return replays(table, kind, method, count, HORIZON)


def claims(found: list[Measured]) -> dict[str, float]:
    optimism = summary(found, HORIZON)["claimed_minus_true"]
    assert optimism is not None
    return optimism


@pytest.mark.parametrize("kind", ["drawn", "disjoint"])
def test_what_foundry_claims_is_the_truth(kind: Kind) -> None:
    champion, _ = replayed(madeup.table(), methods.foundry("evolve"), 70, kind)
    assert sum(each.promotions for each in champion) > 56
    assert claims(champion)["low"] <= 0.0 <= claims(champion)["high"]
    assert claims(champion)["high"] - claims(champion)["low"] < 0.02


def test_a_claim_from_the_deciding_pairs_or_from_the_lowest_score_is_too_high() -> None:
    noisy = madeup.table(noise=0.1)
    deciding, _ = replayed(noisy, methods.foundry("evolve", remeasured=False), 50, "drawn")
    assert claims(deciding)["low"] > 0.0
    [greedy] = replayed(madeup.table(), methods.greedy(1), 60, "drawn")
    assert claims(greedy)["low"] > 0.02


def test_no_ops_are_promoted_within_the_error_budget_and_often_without_a_court() -> None:
    flat = madeup.table().without_effects()
    champion, frontier = replayed(flat, methods.foundry("evolve"), 40, "drawn")
    assert sum(each.false for each in champion) <= 0.10 * len(champion)
    assert sum(each.false for each in frontier) > len(frontier)
    assert all(each.false == each.promotions for each in (*champion, *frontier))


def test_replays_by_many_processes_are_those_of_one() -> None:
    one, many = (replays(madeup.table(), "drawn", methods.greedy(1), 9, HORIZON, processes) for processes in (1, 2))
    assert one == many


def test_a_no_op_has_noise_of_its_own_and_no_effect() -> None:
    world = TableWorld(madeup.table(), 1, "drawn")
    base, twin = "1.0.0.0.0", "1.0.0.0.2"
    scores = [(world.run(base, seed), world.run(twin, seed)) for seed in range(40)]
    assert sum(a != b for a, b in scores) > 30
    assert world.truth(base) == world.truth(twin)
    assert world.run(base, 5) == world.run(base, 5)


def test_no_run_of_a_disjoint_replay_is_a_seed_of_its_truth() -> None:
    table = madeup.table()
    for replay in range(5):
        world = TableWorld(table, replay, "disjoint")
        unseen = {float(table.scores["certification", 1.0][0, row]) for row in world.rows["truth"]}
        seeds = [*range(100), *((1 << 62) + i for i in range(100)), *((1 << 62) + (1 << 61) + i for i in range(100))]
        assert not unseen & {world.run(table.space.baseline, seed, split="certification") for seed in seeds}


def test_any_mutation_of_any_recorded_recipe_is_a_recorded_recipe() -> None:
    rng = Random(0)
    for point in rng.sample(factorial.points(), 12):
        for family, variants in factorial.FACTORS.items():
            variant = rng.choice(variants)
            mutant, _ = mutate(factorial.recipe(point), f"{family}:{variant}")
            found = factorial.by_fingerprint()[mutant.fingerprint]
            assert found == tuple(
                variant if name == family else old for name, old in zip(factorial.FACTORS, point, strict=True)
            )


def test_a_recording_that_was_killed_keeps_whole_units_alone(tmp_path: Path) -> None:
    scores = ",".join(["3.5"] * record.BLOCK)
    whole = [f"0,lr:0.012,4,validation,{scores}"]
    whole += [f"0,lr:0.012,1,{split},{scores}" for split in record.RUNGS[1]]
    torn = [f"0,lr:0.024,1,validation,{scores}", f"0,lr:0.024,1,certification,{scores[:20]}"]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join([*whole, *torn]))
    assert set(record.read(file)) == {"0,lr:0.012,4", "0,lr:0.012,1"}
