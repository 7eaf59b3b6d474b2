"""What judging costs: beyond a plain evaluation of a tiny model, and as a stream of tokens of a large vocabulary.

    python -m benchmarks.judging

The judge's whole way (forks, loading, spliced passes, scoring) against a plain loop in this process (one forward pass,
log-softmax, sum) over the same text, in turn. Seconds are of CPU, of all processes together: what else the machine does
hardly shows in them. May not: judge on anything but text that is made up here.
"""

from __future__ import annotations

import math
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import measuring
from foundry.core.section import validate
from foundry.judge.model_server import Job
from foundry.judge.windows import cut_windows
from foundry.judge.worker import judge
from foundry.model import GPT, ModelConfig, initialise
from foundry.train import checkpoint
from foundry.train.config import TrainConfig
from foundry.train.state import TrainState

ROUNDS, THREADS, ROWS = 5, 1, 16
TRAIN = {"batch_size": 1, "loss": "cross_entropy", "optimizer": {"kind": "adamw", "lr": 1e-3}, "schedule": "cosine"}
SIZES: dict[str, tuple[dict[str, Any], int, int]] = {
    "tiny": ({"layers": 1, "width": 32, "context": 32}, 65, 2048),
    "50k vocabulary": ({"layers": 2, "width": 128, "context": 128}, 50_304, 2048),
}
"""Name → the model's sizes, its vocabulary, judged tokens."""


class Text:
    """A stretch of tokens of a byte each."""

    def __init__(self, vocab_size: int, tokens: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.ids, self.bytes = torch.randint(vocab_size, (tokens + 1,), generator=draw).numpy(), tokens


class Quiet:
    def tell(self, **facts: Any) -> None: ...


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def seconds(action: Callable[[], object]) -> float:
    started = cpu_seconds()
    action()
    return cpu_seconds() - started


def measure(name: str, folder: Path) -> dict[str, Any]:
    sizes, vocab_size, tokens = SIZES[name]
    parts = {"attention": {"kind": "gqa", "heads": 4}, "norm": "rmsnorm", "activation": "gelu", "position": "rope"}
    section = {**sizes, **parts}
    model = GPT(validate(ModelConfig, section, "model"), vocab_size)
    initialise(model, 0)
    state = TrainState.fresh(model, validate(TrainConfig, TRAIN, "train"))
    checkpoint.save(folder / name, state, {"identity": "bench"}, finished=True)
    job = Job(section, vocab_size, folder / name, device="cpu", threads=THREADS, precision="fp32")
    texts = [Text(vocab_size, 512, seed) for seed in range(tokens // 512)]
    windows = cut_windows(texts, sizes["context"], vocab_size)
    inputs, targets = torch.from_numpy(windows.inputs), torch.from_numpy(windows.targets)

    def plainly() -> None:
        nats = 0.0
        with torch.inference_mode():
            for x, y in zip(inputs.split(ROWS), targets.split(ROWS), strict=True):
                nats += F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
        assert math.isfinite(nats)

    scores = []
    found = measuring.in_turn(
        {
            "judge": lambda: seconds(lambda: scores.append(judge(job, lambda: texts, Quiet()))),
            "sampled": lambda: seconds(lambda: judge(job, lambda: texts, Quiet(), sampled=True)),
            "plain": lambda: seconds(plainly),
        },
        ROUNDS,
    )
    judged, plain = measuring.median(found["judge"]), measuring.median(found["plain"])
    sampled = measuring.median(found["sampled"])
    return {
        "model": name,
        "judged_tokens": tokens,
        "times_spliced": scores[0].cuts / len(windows.lengths),
        "judge_seconds": judged,
        "sampled_seconds": sampled,
        "plain_seconds": plain,
        "beyond_plain_seconds": judged - plain,
        "ratio": measuring.paired_ratio(found["judge"], found["plain"]),
        "sampled_ratio": measuring.paired_ratio(found["sampled"], found["plain"]),
        "judged_tokens_per_second": tokens / judged,
    }


def main() -> None:
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder)) for name in SIZES]
    measuring.report("judging", {"machine": measuring.machine(), "rounds": ROUNDS, "threads": THREADS}, rows)


if __name__ == "__main__":
    main()
