"""What an engine is asked to respect, what it answers, and who may watch. May not: run anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from foundry.core.errors import WorkError
from foundry.documents.runs import Trained
from foundry.ledger.run_spec import RunSpec


@dataclass(frozen=True)
class Limits:
    """What a run may use before it is ended. None of it is part of a run's identity."""

    wall_seconds: float = 24 * 3600.0
    stall_seconds: float = 300.0
    memory_bytes: int = 0
    """0 for an equal share of this machine's memory."""

    def leave_more(self, reason: str | None, than: dict[str, float] | None) -> bool:
        """Whether a run that failed for `reason` when it was allowed `than` (None: nobody knows) might not fail now."""
        bounds = {"oom": ("memory_bytes",), "timeout": ("wall_seconds", "stall_seconds")}.get(reason or "", ())
        return than is not None and any(getattr(self, bound) > than[bound] for bound in bounds)


@dataclass(frozen=True)
class RunResult:
    """A run with its score on one judged split, or its typed failure; never both."""

    spec: RunSpec
    split: str
    status: str
    reason: str | None = None
    detail: str = ""
    bpb: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    stored: bool = False
    """True when nothing had to be done."""

    @classmethod
    def scored(
        cls, spec: RunSpec, split: str, bpb: float, probes: dict[str, Any], run: dict[str, Any], stored: bool = False
    ) -> Self:
        """A run on record with its score; of the judge's probes what it cost to be judged is kept."""
        facts = {**run, "judged_cpu_seconds": probes.get("cpu_seconds")}
        return cls(spec, split, "done", bpb=bpb, facts=facts, stored=stored)

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def ok(self) -> bool:
        return self.status == "done"

    @property
    def explained(self) -> str:
        """Why it has no score; of a failure that was on record, that it was, and what tries it again."""
        replayed = "this is on record from before, --retry tries it again" if self.stored and not self.ok else ""
        return "; ".join(filter(None, (self.detail, replayed)))

    @property
    def document(self) -> Trained:
        """As `train` prints it."""
        known = {**self.facts, "val_bpb" if self.split == "validation" else f"{self.split}_bpb": self.bpb}
        own = {"run": self.id, "status": self.status, "reason": self.reason, "detail": self.explained}
        return Trained.from_dict({**known, **own, "seed": self.spec.seed, "recipe": self.spec.recipe.fingerprint})


NO_BASELINE = "run.no_baseline"


def check_scored(name: str, results: Sequence[RunResult]) -> None:
    """Raises WorkError for a baseline of which no run has a score: nothing can be said of what is beside it."""
    if results and not any(result.ok for result in results):
        first = results[0]
        why = f"its runs have no score: {first.reason}: {first.explained}"
        raise WorkError(NO_BASELINE, name, why, hint=f"foundry show {first.id[:12]} says more")


class Watcher(Protocol):
    """Sees what happens; a progress display, for one."""

    def started(self, spec: RunSpec, stage: str) -> None: ...
    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: RunResult) -> None: ...


class Silent:
    def started(self, spec: RunSpec, stage: str) -> None: ...
    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: RunResult) -> None: ...
