"""What an engine is asked to respect, what it answers, and who may watch. May not: run anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from foundry.runs.spec import RunSpec


@dataclass(frozen=True)
class Limits:
    """What a run may use before it is ended. None of it is part of a run's identity."""

    wall_seconds: float = 24 * 3600.0
    stall_seconds: float = 300.0
    memory_bytes: int = 0
    """0 for an equal share of this machine's memory."""


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

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def ok(self) -> bool:
        return self.status == "done"

    def to_json(self) -> dict[str, Any]:
        known = ("train_loss", "tokens", "flops", "seconds", "device")
        return {
            "run": self.id,
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
            "val_bpb" if self.split == "validation" else f"{self.split}_bpb": self.bpb,
            **{key: self.facts.get(key) for key in known},
            "seed": self.spec.seed,
            "recipe": self.spec.recipe.fingerprint,
        }


class Watcher(Protocol):
    """Sees what happens; a progress display, for one."""

    def started(self, spec: RunSpec, stage: str) -> None: ...
    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: RunResult) -> None: ...


class Silent:
    def started(self, spec: RunSpec, stage: str) -> None: ...
    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: RunResult) -> None: ...
