"""Seeds that nobody can choose and that don't show what they are for: screening, rehearsal, certification and
re-measurement draw theirs by HMAC from a secret, all from one range.

May not: be seen by a candidate before its test; fall where a seed tells a phase.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

from foundry.core.errors import RequestError

Label = Literal["screen", "rehearse", "certify", "remeasure"]

SECRET_BYTES = 16
"""At least."""
SEEDS_BELOW = 1 << 63


def screening_seeds(secret: bytes, code: str, numbers: Sequence[int]) -> list[int]:
    """The seed of each number of screening, the same for all arms that are screened together.

    code: what identifies the workspace code among them, "" without any. Code that was written by somebody who had seen
    the seeds of an earlier screening is other code, and has others.
    """
    return [fresh_seed(secret, "screen", code, number) for number in numbers]


def certification_seeds(secret: bytes, attempt: str, count: int) -> list[int]:
    """The first `count` seeds of a test, 63 bits each: HMAC-SHA256(secret, "certify|attempt|i").

    The i-th doesn't depend on `count`. `attempt` names one test: another attempt of the same candidate has other
    seeds. Raises RequestError on a secret under 16 bytes.
    """
    return [fresh_seed(secret, "certify", attempt, index) for index in range(count)]


def remeasurement_seeds(secret: bytes, attempt: str, count: int) -> list[int]:
    """Seeds that took no part in the decision: another label. (That two of 63 bits meet has a chance of 1e-17.)"""
    return [fresh_seed(secret, "remeasure", attempt, index) for index in range(count)]


def fresh_seed(secret: bytes, label: Label, scope: str, index: int) -> int:
    """One of them. Raises RequestError on a secret under 16 bytes."""
    if len(secret) < SECRET_BYTES:
        raise RequestError("judge.weak_secret", "secret", f"{len(secret)} bytes; at least {SECRET_BYTES}")
    digest = hmac.new(secret, f"{label}|{scope}|{index}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") % SEEDS_BELOW
