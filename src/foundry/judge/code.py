"""The code that a score comes from, besides the model's own. May not: import it."""

from __future__ import annotations

from foundry.core.fingerprint import fingerprint
from foundry.core.source_code import code_of

SCORES = ("worker", "model_server", "model_client", "score", "splice", "windows")
"""The files of this room that a score depends on; statistics and sandboxes are rooms of their own."""


def judging_code() -> str:
    """Its fingerprint: scores of two are not comparable."""
    return fingerprint(code_of((*(f"judge/{name}.py" for name in SCORES), "data/eval_split.py")))
