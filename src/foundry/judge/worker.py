"""The judge's process: seats the contestant, then opens the judged text, and scores. Forked from the forkserver.

The order is the protection: contestants are forked while no judged text is in memory, the secret that says where they
are probed is drawn after that, and no two of them run a model's code at the same time. May not: import the contestant's
code, read anything that it wrote but weights.
"""

from __future__ import annotations

import math
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from foundry.core.errors import RequestError, RunFailure
from foundry.judge.channel import Channel
from foundry.judge.model_client import Seat
from foundry.judge.model_process import start
from foundry.judge.model_server import Job
from foundry.judge.score import TOLERANCES, Judging, Score
from foundry.judge.splice import MAX_ROUNDS, make_plan, make_sampled_plan, rounds_for
from foundry.judge.windows import Stretch, cut_windows
from foundry.stats.plausible import quarantine

CALL_SECONDS = 240.0  # below the stall that the pool ends a worker for, so that the failure can be named here
BATCH_TOKENS = 8192
CPU_BATCH_TOKENS = 1024  # a layer of them stays in the cache: 10% less time (4 layers of 128, context 64)
BATCH_LOGITS_BYTES = 1 << 28
SAMPLED_SEATS = 4
IN_DOUBT = ("leak", "invalid")
MIN_BATCHES = 4  # so that there are earlier calls to remember


class Line(Protocol):
    """The worker's line to its controller."""

    def tell(self, **facts: Any) -> None: ...


def main(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Judge one checkpoint on one split. Raises what `judge` raises.

    payload: model, vocab_size, checkpoint, judge_dir, split, judged_bytes, device, threads; optionally precision
    (`fp32`), reference_bpb, call_seconds, sampled (see `judge`), tier and admitted (see `Job`). Returns bpb, bytes,
    tokens, seconds, forward_seconds, tier and probes; of a sample that failed in_doubt alone: all windows must decide.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to save: asked to stop, it ends
    started = time.monotonic()
    job = Job(
        model=payload["model"],
        vocab_size=payload["vocab_size"],
        checkpoint=Path(payload["checkpoint"]),
        device=payload["device"],
        threads=payload["threads"],
        precision=payload.get("precision", "fp32"),
        **{key: payload[key] for key in ("tier", "admitted") if key in payload},
    )

    def read() -> Iterable[Stretch]:
        from foundry.data.eval_split import JudgedSplit

        return JudgedSplit.open(Path(payload["judge_dir"]), payload["split"]).select(payload["judged_bytes"])

    try:
        score = judge(job, read, line, payload.get("call_seconds", CALL_SECONDS), payload.get("sampled", False))
    except RunFailure as failure:
        if payload.get("sampled") and failure.reason in IN_DOUBT:
            return {"in_doubt": str(failure)}
        raise
    return {
        "bpb": score.bpb,
        "bytes": score.bytes,
        "tokens": score.tokens,
        "seconds": time.monotonic() - started,
        "forward_seconds": score.forward_seconds,
        "tier": job.tier,
        "probes": {
            "cuts": score.cuts,
            "splice_gap": score.splice_gap,
            "order_gap_nats": score.order_gap_nats,
            **({} if payload.get("sampled") else {"cpu_seconds": round(score.cpu_seconds, 4)}),
            "quarantine": quarantine(score.bpb, payload.get("reference_bpb")),
        },
    }


def judge(
    job: Job,
    read: Callable[[], Iterable[Stretch]],
    line: Line,
    call_seconds: float = CALL_SECONDS,
    sampled: bool = False,
    made_up: bool = False,
) -> Score:
    """Score `job` on the stretches that `read` gives; it is called when every contestant has been forked.

    sampled: splice a sample of the windows, for parts that ship. made_up: the text is nobody's secret, so that failures
    may say what they like. Raises RunFailure (`leak`, `invalid`, `nan`, `crash`,
    `oom`, `timeout`) and WorkError. One thread until here.
    """
    if job.precision not in TOLERANCES:
        raise RequestError("judge.unknown_precision", "precision", got=job.precision, choices=list(TOLERANCES))
    most_rows = _most_rows(job)
    seats: list[Seat] = []
    try:
        count = SAMPLED_SEATS if sampled else MAX_ROUNDS + 3
        channels = [Channel(most_rows, job.context, job.vocab_size) for _ in range(count)]
        for channel, process in zip(channels, start(job, channels), strict=True):
            seats.append(Seat(channel, process, call_seconds, made_up))
        torch.set_num_threads(job.threads)
        windows = cut_windows(read(), job.context, job.vocab_size)
        count, secret, tolerance = len(windows.lengths), secrets.randbits(128), TOLERANCES[job.precision]
        plan = make_sampled_plan(windows, secret) if sampled else make_plan(windows, rounds_for(count), secret)
        rows = math.ceil(count / max(math.ceil(count / most_rows), min(MIN_BATCHES, count)))
        random.Random(secret).shuffle(seats)  # which fork it is tells none what it is for
        witness, *asked = seats[: plan.sealed + 2]
        return Judging(plan, asked, witness, rows, tolerance, made_up).run(line.tell)
    finally:
        for seat in seats:
            seat.end()


def _most_rows(job: Job) -> int:
    """Rows of a batch, bounded by what its logits take."""
    tokens = CPU_BATCH_TOKENS if job.device == "cpu" else BATCH_TOKENS
    return max(1, min(tokens, BATCH_LOGITS_BYTES // (4 * job.vocab_size)) // job.context)
