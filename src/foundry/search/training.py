"""`train RECIPE`: one run, in the ledger; under torchrun, one run trained by many processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from foundry.core.errors import RequestError, RunFailure
from foundry.recipe import Recipe
from foundry.runs.engine import run_folder
from foundry.runs.result import RunResult
from foundry.runs.spec import RunSpec
from foundry.search.lab import Lab
from foundry.search.match import Arm
from foundry.train import worker
from foundry.train.direct import LocalLine
from foundry.train.distributed import World


def train(lab: Lab, path: Path, seed: int, resume: bool, fresh: bool) -> RunResult | None:
    """Train one recipe file; at once when the ledger has the result.

    A checkpoint that exists is always resumed; `resume` insists that there is one, `fresh` removes it. None in all of
    torchrun's processes but the first. Raises RequestError.
    """
    recipe = Recipe.load(path)
    arm = lab.arm_of(recipe)
    spec = lab.spec(arm, seed)
    checkpoint = run_folder(spec.id) / "checkpoint"
    if resume and not checkpoint.is_dir():
        raise RequestError(
            "train.nothing_to_resume", str(checkpoint), "this run has no checkpoint", hint="train it without --resume"
        )
    if fresh:
        lab.ledger.runs.forget(spec.id)
        shutil.rmtree(run_folder(spec.id), ignore_errors=True)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _train_together(lab, arm, spec):
        return None
    return lab.gather([(arm, seed)])[0]


def _train_together(lab: Lab, arm: Arm, spec: RunSpec) -> bool:
    """This process's part of a run under torchrun; True in the first process, which keeps the ledger and judges."""
    data, first = lab.data(arm.recipe), World.from_torchrun().rank == 0
    known = lab.ledger.runs.find(spec.id)
    if known is not None and known["status"] in ("trained", "done", "failed"):
        return first
    fence = 0
    if first:
        lab.ledger.runs.put(spec, judged_hash=data.judged_hash)
        fence = lab.ledger.runs.claim(spec.id) or 0
    line = LocalLine()
    line.heed_signals()
    payload = lab.engine.train_payload(spec, data)
    try:
        result = worker.main({**payload, "threads": 0}, line)
    except RunFailure as failure:
        if first:
            lab.ledger.runs.fail(spec.id, fence, failure.reason, failure.detail)
        return first
    if first and result["status"] == "done":
        lab.engine.record_trained(spec, data, fence, result)
    elif result["status"] != "done":
        if first:
            lab.ledger.runs.release(spec.id, fence)
        raise KeyboardInterrupt
    return first
