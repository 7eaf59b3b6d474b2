"""`train RECIPE`: one run, in the ledger; under torchrun, one run trained by many processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.core.errors import RequestError, RunFailure
from foundry.execute.result import RunResult
from foundry.ledger import queries
from foundry.ledger.run_spec import RunSpec
from foundry.ledger.weights import are_whole, make_again, run_folder, weights_folder
from foundry.recipe import Recipe
from foundry.train import worker
from foundry.train.distributed import World
from foundry.train.progress import LocalLine


def train(lab: Lab, name: Path, seed: int, resume: bool, fresh: bool, weights: bool = False) -> RunResult | None:
    """Train one recipe file, or a recorded run by its id; at once when the ledger has the result.

    A checkpoint that exists is always resumed; `resume` insists that there is one, `fresh` removes it, `weights` makes
    the weights again where they are gone. None in all of torchrun's processes but the first. Raises RequestError.
    """
    arm, seed = _recorded(lab, name.name) if weights and not name.is_file() else (lab.arm_of(Recipe.load(name)), seed)
    spec = lab.spec(arm, seed)
    if resume and not weights_folder(spec.id).is_dir():
        known = lab.ledger.runs.find(spec.id)
        scored = known is not None and known["status"] == "done"
        hint = make_again(spec.id) if scored else "train it without --resume"
        raise RequestError("train.nothing_to_resume", spec.id[:12], "this run has no checkpoint", hint=hint)
    if fresh:
        lab.ledger.runs.forget(spec.id)
        shutil.rmtree(run_folder(spec.id), ignore_errors=True)
    lab.ledger.runs.put(spec, judged_hash=lab.data(arm.recipe).judged_hash)
    lab.ledger.runs.keep(spec.id, "train")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _train_together(lab, arm, spec, weights):
        return None
    lab.engine.submit(spec, lab.data(arm.recipe), weights=weights)
    return lab.engine.wait()[0]


def _recorded(lab: Lab, name: str) -> tuple[Arm, int]:
    """The arm and the seed of a run on record, to be trained as it was. Raises RequestError for one that can't be."""
    row = queries.run(name)
    recipe = Recipe.from_dict(queries.recipe(row.recipe).content)
    arm = lab.arm_of(recipe, row.budget_tokens)
    if lab.spec(arm, row.seed).id != row.run:
        message = "its code, its workspace's code or its text is another than it was, and would train other weights"
        raise RequestError("train.other_run", row.run[:12], message, hint="foundry rebuild has its recipe and code")
    return arm, row.seed


def _train_together(lab: Lab, arm: Arm, spec: RunSpec, weights: bool) -> bool:
    """This process's part of a run under torchrun; True in the first process, which keeps the ledger and judges."""
    data, first = lab.data(arm.recipe), World.from_torchrun().rank == 0
    known = lab.ledger.runs.get(spec.id)
    finished = known["status"] in ("trained", "done", "failed")
    if finished and (known["status"] == "failed" or not weights or are_whole(spec.id)):
        return first
    fence = (lab.ledger.runs.claim(spec.id, known["fence"] if finished else None) or 0) if first else 0
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
