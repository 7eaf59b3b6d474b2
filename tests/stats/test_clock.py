"""What the judge's clock concludes from four blocks."""

from __future__ import annotations

import pytest

from foundry.stats import step_timing


def test_a_steady_drift_of_the_machine_changes_neither_arms_share() -> None:
    slowing = [1.00 * 0.010, 1.01 * 0.020, 1.02 * 0.020, 1.03 * 0.010]
    timing = step_timing.read(slowing)
    assert timing.steady
    assert timing.candidate_step_seconds / timing.baseline_step_seconds == pytest.approx(2.0)
    assert timing.steps_for(100) == 50


@pytest.mark.parametrize("disturbed", range(4))
def test_a_load_during_any_one_block_voids_the_measurement(disturbed: int) -> None:
    blocks = [0.010, 0.020, 0.020, 0.010]
    assert step_timing.read(blocks).steady
    blocks[disturbed] *= 1.0 + 1.2 * step_timing.LARGEST_DRIFT
    assert not step_timing.read(blocks).steady


def test_a_candidate_gets_the_baselines_time_to_a_fraction_of_a_step() -> None:
    timing = step_timing.read([0.010, 0.0301, 0.0301, 0.010])
    assert timing.steps_for(100) * timing.candidate_step_seconds == pytest.approx(100 * timing.baseline_step_seconds)


def test_four_blocks_are_needed() -> None:
    with pytest.raises(ValueError):
        step_timing.read([0.01, 0.02, 0.02])
