"""`--match seconds`: how long a step of each arm takes on this machine, measured once, and the budgets that follow.

The arms are rehearsed A B B A, one job at a time, and timed by this process's clock, which no contestant's code can
reach. What comes out is a budget in tokens, fixed in the ledger before the first run: runs keep an identity that holds
on any machine, and a question that is asked again, or goes on after a crash, gets the same budgets. May not: see a
score.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import time
from dataclasses import replace
from typing import Any

from foundry.compare.match import Arm, arm, choose, matched, whole_steps
from foundry.compare.session import Lab
from foundry.core.errors import RequestError, WorkError
from foundry.core.fingerprint import fingerprint
from foundry.execute.executor import Ended, Executor, Progress, Task
from foundry.ledger.weights import run_folder
from foundry.recipe import Recipe
from foundry.stats import step_timing
from foundry.stats.fresh_seeds import SECRET_BYTES, fresh_seed
from foundry.stats.step_timing import Timing
from foundry.stats.verdict import Match
from foundry.train.throughput import REHEARSED_STEPS

WINDOW_SECONDS = 2.0  # timed of each block, after its warm-up
TRIES = 5
FAILED = "match.rehearsal_failed"


def candidate_arm(lab: Lab, baseline: Arm, recipe: Recipe, currency: str | None, name: str = "") -> tuple[Arm, Match]:
    """The candidate's arm matched to the baseline's, and the currency that it was matched in. Raises RequestError,
    before anything is timed or trained, for one whose scores can't be compared with the baseline's."""
    lab.check_comparable(baseline.recipe, recipe)
    vocab_size = lab.vocab_size(recipe)
    own = arm(recipe, vocab_size, recipe.step_tokens).flops_per_token
    chosen = choose(currency, baseline.flops_per_token, own)
    candidate = matched(baseline, recipe, vocab_size, chosen, name)
    return in_seconds(lab, baseline, candidate) if chosen == "seconds" else candidate, chosen


def in_seconds(lab: Lab, baseline: Arm, candidate: Arm) -> Arm:
    """The candidate's arm with as many tokens as it trains on in the time of the baseline's run.

    `candidate` has as many tokens as the baseline. Raises WorkError when a rehearsal fails or the machine is never
    quiet, RequestError when not one step fits.
    """
    code = bool(candidate.recipe.sources())  # then the baseline is rehearsed as it will be trained beside it
    arms = (replace(baseline, confined=code), replace(candidate, confined=code))
    identities = [*_identity(lab, baseline), *_identity(lab, candidate), *(["confined"] if code else [])]
    key = fingerprint(["calibration", *identities, _machine(lab)])
    known = lab.ledger.verdicts.fix_plan(key, 0, lambda: _measure(lab, *arms))
    timing = Timing(**known["timing"])
    steps = timing.steps_for(baseline.due / baseline.recipe.step_tokens)
    if steps < 1:
        raise RequestError(
            "match.too_small",
            "budget.tokens",
            f"the baseline's run is over before '{candidate.name}' has made one step",
            hint="raise the baseline's budget",
        )
    due = steps * candidate.recipe.step_tokens
    found = replace(candidate, tokens=whole_steps(candidate.recipe, due), due_tokens=due)
    run_seconds = [baseline.steps * timing.baseline_step_seconds, found.steps * timing.candidate_step_seconds]
    return replace(found, calibration={**known, "run_seconds": run_seconds})


def _measure(lab: Lab, baseline: Arm, candidate: Arm) -> dict[str, Any]:
    """The first measurement that holds still, and the drift of those that were void before it."""
    voided: list[float] = []
    for _ in range(TRIES):
        lab.say(f"timing {baseline.name} and {candidate.name}, one at a time")
        timing = step_timing.read(
            [_block(lab, lab.engine.executor, (baseline, candidate)[side]) for side in step_timing.ORDER]
        )
        if timing.steady:
            return {"timing": timing.to_json(), "voided_drifts": voided, "on": _machine(lab)}
        lab.say(f"void: step times of one arm disagree by {timing.drift:.0%}, another load is on this machine")
        voided.append(timing.drift)
    raise WorkError(
        "match.unsteady",
        "--match seconds",
        f"step times disagreed by {min(voided):.0%} or more in {TRIES} measurements; "
        f"{step_timing.LARGEST_DRIFT:.0%} is allowed",
        hint="stop what else runs on this machine, lengthen the runs, or use --match flops",
    )


def _block(lab: Lab, executor: Executor, arm: Arm) -> float:
    """Seconds a step of one rehearsal, by this process's clock; one during which everything stood still is repeated.
    Raises WorkError when it fails."""
    for _ in range(TRIES):
        step_seconds = _rehearsed(lab, executor, arm)
        if step_seconds is not None:
            return step_seconds
        lab.say(f"{arm.name} is timed again: everything was stopped meanwhile")
    raise WorkError("match.unsteady", "--match seconds", f"everything was stopped in {TRIES} measurements")


def _rehearsed(lab: Lab, executor: Executor, arm: Arm) -> float | None:
    """What `_timed` says. Code is rehearsed as it is run: in its sandbox, by the same worker, under the same limits, in
    such a folder."""
    engine, limits = lab.engine, lab.settings.limits
    spec = lab.spec(arm, fresh_seed(os.urandom(SECRET_BYTES), "rehearse", "", 0))
    folder, memory_bytes = run_folder(spec.id), engine.memory_bytes_for_code
    try:
        run = engine.train_payload(spec, lab.data(arm.recipe), folder)
        target, payload = "foundry.train.throughput:rehearse", {"run": run, "window_seconds": WINDOW_SECONDS}
        if arm.confined:
            lab.ledger.recipes.put(arm.recipe)
            payload = engine.guard.training(arm.recipe, run, memory_bytes)
            target = "foundry.execute.untrusted.harness:train"
        bounds = (limits.wall_seconds, limits.stall_seconds, memory_bytes, lab.device == "cpu")
        executor.submit(Task(arm.name, target, payload, folder / "log.txt", *bounds))
        return _timed(executor, arm, warm=min(REHEARSED_STEPS, arm.steps // 4))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _timed(executor: Executor, arm: Arm, warm: int) -> float | None:
    """Read the clock at the marks of a rehearsal; where a sandbox's harness reports, at the steps that it counted. None
    when everything was stopped meanwhile."""
    seconds, steps, since, first = 0.0, 0, math.nan, -1
    while True:
        for event in executor.poll():
            now = time.monotonic()
            match event:
                case Progress(facts={"window": "begin"}):
                    since = now
                case Progress(facts={"window": "end", "steps": marked}):
                    seconds, steps = seconds + now - since, steps + marked
                case Progress(facts={"step": step}) if first < 0 and step >= warm:
                    since, first = now, step
                case Progress(facts={"step": step}) if first >= 0:
                    seconds, steps = now - since, step - first
                    if seconds >= WINDOW_SECONDS:
                        executor.stop(arm.name)
                case Ended(missed_seconds=missed) if missed > 0:
                    return None
                case Ended(reason=reason, detail=detail):
                    if steps > 0 and seconds > 0.0 and (reason is None or seconds >= WINDOW_SECONDS):
                        return seconds / steps
                    said = f"{reason}: {detail}" if reason else "it was over before its steps could be timed"
                    hint = "train it alone to see why" if reason else "raise budget.tokens"
                    raise WorkError(FAILED, arm.name, f"its rehearsal failed: {said}", hint=hint)


def _identity(lab: Lab, arm: Arm) -> list[Any]:
    return [arm.recipe.fingerprint, arm.tokens, lab.data(arm.recipe).hash]


def _machine(lab: Lab) -> dict[str, Any]:
    """What step times depend on besides the recipe."""
    import torch

    accelerated = lab.device.startswith("cuda")
    name = torch.cuda.get_device_name(lab.device) if accelerated else platform.processor() or platform.machine()
    return {"device": lab.device, "hardware": name, "threads": lab.engine.cores_each, "torch": torch.__version__}
