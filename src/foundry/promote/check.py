"""`check FILE`: would this workspace code hold? Its slot's contract, a little training, and the judge's probes.

The contract and the training run in a sandbox; the probes are the judge's own, on text that is made up here. What
passes can still fail in a run. May not: import the file, read judged data, write anything that stays.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foundry.contract import hint
from foundry.core import code, places
from foundry.core.errors import FoundryError, RequestError, RunFailure
from foundry.core.files import why_no_file
from foundry.core.pace import now_and_then
from foundry.core.slot import Slot
from foundry.core.slots import SLOTS
from foundry.documents.recipes import Checked, Fault
from foundry.execute.untrusted.child_handle import ChildHandle, printable
from foundry.execute.untrusted.choose_tier import asked_tier, tier_for
from foundry.judge.model_server import Job
from foundry.judge.worker import judge
from foundry.train import checkpoint

VOCAB, STRETCHES, STRETCH_TOKENS = 48, 40, 60
MEMORY_BYTES = 4 << 30
PRINTED_BYTES = 2000
SECONDS = 60.0
MODEL: dict[str, Any] = {
    "layers": 2,
    "width": 32,
    "context": 32,
    "attention": {"kind": "gqa", "heads": 4},
    "norm": "rmsnorm",
    "activation": "gelu",
    "position": "learned",
    "init_std": 0.1,
}
TRAIN: dict[str, Any] = {
    "batch_size": 8,
    "loss": "cross_entropy",
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "schedule": "cosine",
}
FIELDS: dict[str, dict[str, Any]] = {"attention": {"heads": 4}, "optimizer": {"lr": 1e-3}}
"""What the tiny model's parts need besides their kind."""
HINTS = {
    "trains": "it has to train for twenty steps of a tiny model without an exception, and to stay finite",
    "judged": "see docs/judge.md: a prediction may depend on the tokens up to it in its own row, on nothing else",
    "imports": "the file has to import by itself: nothing of the workspace beside it, no network, no files",
    "stays": "the process that runs it must not be ended, and must not run out of time or memory",
}
"""How to mend what is tried besides the slot's clauses, which have their own."""


@dataclass(frozen=True)
class Place:
    """Where a file of workspace code belongs. slot: None for a whole-file model."""

    workspace: Path
    slot: Slot | None
    kind: str
    file: Path


def locate(file: Path) -> Place:
    """The place of a file, by its path alone. Raises RequestError for one that is in no slot."""
    file = file.absolute()
    if not file.is_file():
        raise RequestError("check.no_file", str(file), why_no_file(file))
    for slot in SLOTS:
        folder = Path(slot.relative)
        if file.suffix == ".py" and file.parent.parts[-len(folder.parts) :] == folder.parts:
            if not file.stem.isidentifier() or file.stem.startswith("_"):
                raise RequestError("check.bad_name", str(file), f"'{file.stem}' can't be a kind: it is no identifier")
            if slot.name == "tokenizer":
                message = "a tokenizer sees judged text, so its code can't come from the workspace"
                raise RequestError("check.tokenizer", str(file), message, hint="put it into the package")
            return Place(file.parents[len(folder.parts)], slot, file.stem, file)
    if file.name == "model.py":
        return Place(file.parent, None, file.stem, file)
    folders = [f"workspace/{slot.relative}/" for slot in SLOTS if slot.name != "tokenizer"]
    hint = "the same relative path as in the package; a whole model is workspace/model.py"
    raise RequestError("check.no_slot", str(file), "is in no slot's folder", choices=folders, hint=hint)


def check(file: Path, say: Callable[[str], None] = lambda line: None) -> Checked:
    """What holds and what the file breaks; `ok` when it breaks nothing and the judge had its say. `say` hears how far
    it is.

    Raises RequestError for a file that can't be checked, or on a machine without the sandbox tier that is asked for.
    """
    started, place = time.monotonic(), locate(file)
    tier = tier_for(asked_tier())
    try:
        code.parsed(place.file, "Config" if place.slot else "Model")
    except RequestError as error:
        number = error.path.rpartition(":")[2]
        passed, printed, faults = [], "", [_fault("imports", error.message, int(number) if number.isdigit() else None)]
    else:
        passed, faults, printed = _tried(place, tier, say)
    return Checked(
        file=str(place.file),
        slot=place.slot.name if place.slot else "model",
        kind=place.kind,
        ok=not faults and "judged" in passed,
        passed=tuple(passed),
        faults=tuple(faults),
        printed=printed,
        tier=tier,
        seconds=round(time.monotonic() - started, 2),
    )


def _tried(place: Place, tier: str, say: Callable[[str], None]) -> tuple[list[str], list[Fault], str]:
    """Clauses passed, faults, and the end of what the code printed."""
    # The judge's contestants look for their code in `workspace()`.
    there = places.within(FOUNDRY_WORKSPACE=place.workspace)
    with there, tempfile.TemporaryDirectory(prefix="foundry-check-") as name:
        folder = Path(name)
        printed = folder / "printed.txt"  # never on our own stdout, where the document goes
        say(f"trying {place.kind} against its contract, in a sandbox ({tier}), for {SECONDS:g} s at most")
        passed, faults = _inside(place, folder / "sandbox", printed, tier, now_and_then(say))
        if "trains" in passed or not faults:
            for state in ("fresh", "trained"):
                say(f"judging it with {state} weights")
                fault = _probed(place, folder, state, tier)
                if fault is not None:
                    faults.append(fault)
                    break
            else:
                passed.append("judged")
        with printed.open("rb") as file:
            file.seek(max(0, printed.stat().st_size - PRINTED_BYTES))
            return passed, faults, printable(file.read().decode(errors="replace"))


def _inside(
    place: Place, folder: Path, printed: Path, tier: str, maybe: Callable[[str], None]
) -> tuple[list[str], list[Fault]]:
    """What is tried in the sandbox. What ends it, or takes too long, is a fault of the clause that was on trial."""
    # Before the fork, because confined they would look for places to write: what an optimizer's first step imports
    importlib.import_module("torch._dynamo")
    importlib.import_module("foundry.promote.check_child")
    importlib.import_module("foundry.contract.training")
    folder.mkdir(mode=0o700)
    payload = {
        "slot": place.slot.name if place.slot else "",
        "kind": place.kind,
        "file": str(place.file),
        "model": _section("model", MODEL, place),
        "train": _section("train", TRAIN, place),
        "vocab_size": VOCAB,
        "out": str(folder),
    }
    inner = ChildHandle(
        "foundry.promote.check_child:main", payload, folder, place.workspace, tier, MEMORY_BYTES, printed=printed
    )

    def on_trial() -> str:
        told = (m["tell"] for m in reversed(inner.messages) if isinstance(m.get("tell"), dict))
        return printable(str(next((each["clause"] for each in told if "clause" in each), "imports")))

    timed_out = inner.hear_out(SECONDS, lambda: maybe(f"  on trial: {on_trial()}"))
    clause = on_trial()
    try:
        return _heard(inner.result())
    except RunFailure as failure:
        why = f"took more than {SECONDS:g} s" if timed_out else failure.detail
        return [], [_fault("stays", f"in {clause}: {why}")]


def _heard(result: dict[str, Any]) -> tuple[list[str], list[Fault]]:
    """What the process inside says of clauses and faults: the code in it may have said it, so it may be anything.

    What it says of the judge isn't heard. Raises RunFailure for what makes no sense."""
    passed, faults = result.get("passed"), result.get("faults")
    if not isinstance(passed, list) or not isinstance(faults, list) or not all(isinstance(f, dict) for f in faults):
        raise RunFailure("invalid", "the checks were interfered with: their result makes no sense")
    words = ("clause", "contract", "says", "seen")
    known = [
        _fault(line=_line(fault.get("line")), **{key: printable(str(fault.get(key, ""))) for key in words})
        for fault in faults
    ]
    return [printable(str(clause)) for clause in passed if clause != "judged"], known


def _line(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _probed(place: Place, folder: Path, state: str, tier: str) -> Fault | None:
    """The judge's opinion of weights that were left in the sandbox, as a fault or None."""
    try:
        checkpoint.copy(folder / "sandbox" / state, folder / state)
        job = Job(
            model=_section("model", MODEL, place),
            vocab_size=VOCAB,
            checkpoint=folder / state,
            device="cpu",
            threads=1,
            precision="fp32",
            tier=tier,
            admitted=tier == "none",
        )
        torch.set_num_threads(1)
        judge(job, _made_up_text, _Quiet(), SECONDS, made_up=True)
    except (RunFailure, FoundryError) as failure:
        return _fault("judged", f"{state} weights: {failure}")
    return None


def _section(name: str, plain: dict[str, Any], place: Place) -> dict[str, Any]:
    """A tiny recipe's section, with the part in its place."""
    if place.slot is None:
        return {**plain, "code": place.kind} if name == "model" else plain
    key = place.slot.field_name
    return {**plain, key: {**FIELDS.get(key, {}), "kind": place.kind}} if place.slot.section == name else plain


def _fault(clause: str, seen: str, line: int | None = None, contract: str = "", says: str = "") -> Fault:
    mend = hint(clause) or HINTS.get(clause, "")
    return Fault(clause=clause, contract=contract, says=says, seen=seen, line=line, mend=mend)


@dataclass(frozen=True)
class _Text:
    ids: np.ndarray
    bytes: int


def _made_up_text() -> Iterable[_Text]:
    """Tokens that wander, one byte each."""
    draw = np.random.default_rng(0)
    steps = draw.integers(-3, 4, (STRETCHES, STRETCH_TOKENS + 1)).cumsum(1)
    ids = (draw.integers(0, VOCAB, (STRETCHES, 1)) + steps) % VOCAB
    return [_Text(row, STRETCH_TOKENS) for row in ids]


class _Quiet:
    def tell(self, **facts: Any) -> None: ...
