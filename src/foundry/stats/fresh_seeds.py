"""Seeds that nobody can choose: certification and re-measurement draw theirs by HMAC from the campaign's secret.

May not: be seen by a candidate before its test; give a seed that screening could use.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from foundry.core.errors import RequestError

Label = Literal["certify", "remeasure"]

SCREENING_BELOW = 1 << 62  # screening takes small seeds; both streams below lie at or above this
_REMEASURE_BIT = 1 << 61
_FREE_BITS = _REMEASURE_BIT - 1


def certification_seeds(secret: bytes, attempt: str, count: int) -> list[int]:
    """The first `count` seeds of a test, 63 bits each: HMAC-SHA256(secret, "certify|attempt|i").

    The i-th doesn't depend on `count`. `attempt` names one test: another attempt of the same candidate has other
    seeds. Raises RequestError on a secret under 16 bytes.
    """
    return [_seed(secret, "certify", attempt, index) for index in range(count)]


def remeasurement_seeds(secret: bytes, attempt: str, count: int) -> list[int]:
    """Seeds that took no part in the decision: another label, and another half of the range."""
    return [_seed(secret, "remeasure", attempt, index) for index in range(count)]


def _seed(secret: bytes, label: Label, attempt: str, index: int) -> int:
    if len(secret) < 16:
        raise RequestError("judge.weak_secret", "secret", f"{len(secret)} bytes; at least 16")
    digest = hmac.new(secret, f"{label}|{attempt}|{index}".encode(), hashlib.sha256).digest()
    drawn = int.from_bytes(digest[:8], "big") & _FREE_BITS
    return SCREENING_BELOW | (_REMEASURE_BIT if label == "remeasure" else 0) | drawn
