"""Seeds by HMAC: unpredictable, stable, and in streams that never meet."""

from __future__ import annotations

import pytest

from foundry.core.errors import RequestError
from foundry.stats.fresh_seeds import SCREENING_BELOW, certification_seeds, remeasurement_seeds

SECRET = bytes(range(32))


def test_the_same_attempt_has_the_same_seeds_in_every_process() -> None:
    assert certification_seeds(SECRET, "7", 2) == [6185733207916939491, 5218916139894883209]
    assert certification_seeds(SECRET, "7", 12)[:2] == certification_seeds(SECRET, "7", 2)


def test_another_attempt_or_another_secret_has_other_seeds() -> None:
    seeds = set(certification_seeds(SECRET, "7", 60))
    assert len(seeds) == 60
    assert not seeds & set(certification_seeds(SECRET, "8", 60))
    assert not seeds & set(certification_seeds(SECRET[::-1], "7", 60))


def test_no_stream_meets_another_or_the_small_seeds_of_screening() -> None:
    deciding = {seed for i in range(200) for seed in certification_seeds(SECRET, str(i), 24)}
    fresh = {seed for i in range(200) for seed in remeasurement_seeds(SECRET, str(i), 24)}
    assert max(deciding) < min(fresh)  # two halves of a range: disjoint for every secret
    assert all(SCREENING_BELOW <= seed < 2**63 for seed in deciding | fresh)


def test_a_guessable_secret_is_refused() -> None:
    with pytest.raises(RequestError, match="weak_secret"):
        certification_seeds(b"secret", "7", 1)
