"""Seeds by HMAC: unpredictable, stable, and in streams that never meet."""

from __future__ import annotations

import pytest

from foundry.core.errors import RequestError
from foundry.stats.fresh_seeds import certification_seeds, fresh_seed, remeasurement_seeds, screening_seeds

SECRET = bytes(range(32))


def test_the_same_attempt_has_the_same_seeds_in_every_process() -> None:
    assert certification_seeds(SECRET, "7", 2) == [6185733207916939491, 7524759149108577161]
    assert certification_seeds(SECRET, "7", 12)[:2] == certification_seeds(SECRET, "7", 2)


def test_another_attempt_or_another_secret_has_other_seeds() -> None:
    seeds = set(certification_seeds(SECRET, "7", 60))
    assert len(seeds) == 60
    assert not seeds & set(certification_seeds(SECRET, "8", 60))
    assert not seeds & set(certification_seeds(SECRET[::-1], "7", 60))


def streams() -> dict[str, list[int]]:
    """Four hundred seeds of each phase."""
    attempts = [str(i) for i in range(20)]
    return {
        "screen": [seed for each in attempts for seed in screening_seeds(SECRET, each, range(20))],
        "rehearse": [fresh_seed(SECRET, "rehearse", each, i) for each in attempts for i in range(20)],
        "certify": [seed for each in attempts for seed in certification_seeds(SECRET, each, 20)],
        "remeasure": [seed for each in attempts for seed in remeasurement_seeds(SECRET, each, 20)],
    }


def test_no_stream_meets_another() -> None:
    drawn = [seed for stream in streams().values() for seed in stream]
    assert len(set(drawn)) == len(drawn)


def told_apart(streams: dict[str, list[int]]) -> bool:
    """Whether a bit of a seed, or how large it is, says more of its phase than chance does in 400 draws."""
    for bit in range(63):  # the highest of them says how large it is
        means = [sum(seed >> bit & 1 for seed in stream) / len(stream) for stream in streams.values()]
        if max(means) - min(means) > 0.2:  # six standard errors
            return True
    return False


def test_a_seed_tells_nobody_what_it_is_for() -> None:
    drawn = streams()
    assert all(0 <= seed < 2**63 for stream in drawn.values() for seed in stream)
    assert not told_apart(drawn)
    # as they were: small numbers for screening, a range for each of the others
    assert told_apart({**drawn, "screen": list(range(1, 401))})
    assert told_apart({**drawn, "certify": [seed | 1 << 62 for seed in drawn["certify"]]})


def test_code_that_was_written_with_an_eye_on_seeds_gets_others() -> None:
    assert not set(screening_seeds(SECRET, "code", range(99))) & set(screening_seeds(SECRET, "seen", range(99)))


def test_a_guessable_secret_is_refused() -> None:
    with pytest.raises(RequestError, match="weak_secret"):
        certification_seeds(b"secret", "7", 1)
