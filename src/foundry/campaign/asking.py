"""A loop of a caller's own: it asks a strategy what to try next, has it swept, and the strategy learns what came of it.

The caller may try what it likes instead; whatever is swept is told. A campaign does more: it climbs by itself, on
provisional evidence. May not: train, judge, or promote.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, final

from foundry.campaign import strategies
from foundry.campaign.live_environment import read_space
from foundry.campaign.strategies import Scene
from foundry.core.errors import FoundryError
from foundry.documents.campaign import Asked, Trial
from foundry.documents.runs import Edit
from foundry.documents.sweep import Candidate, Sweep
from foundry.mutate import all_variants, mutate
from foundry.recipe import Recipe


@final
class Asking:
    """What was tried is kept by fingerprint: of two words that make one recipe the strategy hears as of one."""

    def __init__(self, baseline: Path, strategy: str, space: Path | None, seed: int) -> None:
        """Raises RequestError for a strategy or a space that isn't there."""
        self.baseline, self.strategy = baseline, strategies.make(strategy)
        self._words = read_space(space) if space is not None else None
        self._random = Random(seed)
        self._made: dict[str, tuple[Recipe, tuple[Edit, ...]] | None] = {}
        self._base = ""
        self._by: dict[str, str] = {}
        self._tried: set[str] = set()
        self.trials: list[Trial] = []

    def ask(self, n: int) -> tuple[Asked, ...]:
        """Up to `n` mutations of the baseline as it stands that were never tried here; fewer where nothing is left."""
        base = Recipe.load(self.baseline)
        if base.fingerprint != self._base:
            self._made, self._base = {}, base.fingerprint

        def is_new(word: str) -> bool:
            made = self._apply(base, word)
            return made is not None and made[0].fingerprint not in self._tried

        words = self._words if self._words is not None else all_variants(base)
        scene = Scene(words, is_new, self._random, lambda word: self._apply(base, word) is not None)
        asked: list[Asked] = []
        for proposal in self.strategy.ask(scene, n):
            made = self._apply(base, proposal.word)
            assert made is not None  # it is new
            self._by[proposal.word] = proposal.by
            self._tried.add(made[0].fingerprint)
            asked.append(
                Asked(
                    mutation=proposal.word, by=proposal.by, why=proposal.why, recipe=made[0].fingerprint, edits=made[1]
                )
            )
        return tuple(asked)

    def _apply(self, base: Recipe, word: str) -> tuple[Recipe, tuple[Edit, ...]] | None:
        """What a word makes of the baseline; None where it doesn't fit or changes nothing."""
        if word not in self._made:
            try:
                recipe, edits = mutate(base, word)
                rows = tuple(Edit(path=edit.path, old=edit.old, new=edit.new) for edit in edits)
                self._made[word] = (recipe, rows) if rows else None
            except FoundryError:
                self._made[word] = None
        return self._made[word]

    def hear(self, swept: Sweep) -> tuple[Trial, ...]:
        """Take in what a sweep came to, and tell the strategy; what it says of each candidate."""
        heard = tuple(self._heard(row, swept) for row in swept.candidates)
        self.trials += heard
        return heard

    def _heard(self, row: Candidate, swept: Sweep) -> Trial:
        made = self._made.get(row.mutation)
        self._tried.update(name for name in (row.recipe, made and made[0].fingerprint) if name)
        promoted = swept.promoted is not None and swept.promoted == row.name
        trial = Trial(
            mutation=row.mutation,
            recipe=row.recipe,
            by=self._by.get(row.mutation, "outside"),
            status="accepted" if promoted else "failed" if row.status == "failed" else "survived",
            reason=row.reason or "",
            gain_bpb=row.gain_bpb,
            budget_share=1.0,
            flops=sum(run.flops or 0.0 for run in row.runs),
        )
        told: dict[str, Any] = {"word": row.mutation, "gain": row.gain_bpb, "share": 1.0}
        self.strategy.tell(
            {**told, "by": trial.by, "status": trial.status, "reason": trial.reason, "flops": trial.flops}
        )
        return trial
