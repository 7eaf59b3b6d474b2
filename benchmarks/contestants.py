"""nanoGPT and Foundry as they are run by their users, timed from outside, each in a process of its own.

nanoGPT is a checkout of karpathy/nanoGPT, its files untouched: its own train.py is run where a folder of links stands
for the checkout, so that data and output go elsewhere. May not: change either's arithmetic.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foundry.core.section import validate
from foundry.model import GPT
from foundry.train import checkpoint
from foundry.train.program import Job

# train.py has one fixed seed and no option for it: from outside, the seed that it asks for is moved
MOVED_SEED = """
import runpy, sys, torch
moved, given = int(sys.argv.pop(1)), torch.manual_seed
torch.manual_seed = lambda seed: given(seed + moved)
runpy.run_path("train.py", run_name="__main__")
"""
ITERATION = re.compile(r"^iter (\d+): loss (\S+), time (\S+)ms")


@dataclass(frozen=True)
class Timing:
    """seconds: of the steps from `first` to `last` alone; no start-up, no evaluation."""

    first: int
    last: int
    seconds: float
    wall_seconds: float
    """Of the whole process."""

    @property
    def step_seconds(self) -> float:
        return self.seconds / (self.last - self.first)


class NanoGPT:
    """One checkout, in a workplace of links."""

    def __init__(self, checkout: Path, workplace: Path) -> None:
        workplace.mkdir(parents=True, exist_ok=True)
        for path in checkout.resolve().iterdir():
            if path.name not in ("data", ".git") and not (workplace / path.name).exists():
                (workplace / path.name).symlink_to(path)
        self.workplace, self.data = workplace, workplace / "data" / "benchmark"

    def train(self, settings: Mapping[str, Any], first: int, last: int, threads: int, seed: int = 0) -> Timing:
        """Run train.py; its steps are timed by when it says that they are done. Raises CalledProcessError."""
        options = {"dataset": "benchmark", "log_interval": 1, "wandb_log": False, **settings}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", MOVED_SEED, str(seed), *arguments],
            cwd=self.workplace,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        marks: dict[int, float] = {}
        tail: list[str] = []
        for line in process.stdout:
            tail = [*tail[-20:], line]
            if (found := ITERATION.match(line)) and int(found[1]) in (first, last):
                marks[int(found[1])] = time.perf_counter()
        if process.wait() != 0 or len(marks) != 2:
            raise subprocess.CalledProcessError(process.returncode, arguments, "".join(tail))
        return Timing(first, last, marks[last] - marks[first], time.perf_counter() - began)

    def logits_of(self, out_dir: str) -> tuple[Callable[[Tensor], Tensor], int]:
        """Its last checkpoint as a function ids [B, T] → logits [B, T, V], and its number of parameters."""
        spec = importlib.util.spec_from_file_location("nanogpt_model", self.workplace / "model.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["nanogpt_model"] = module
        spec.loader.exec_module(module)
        saved = torch.load(self.workplace / out_dir / "ckpt.pt", map_location="cpu", weights_only=False)
        model = module.GPT(module.GPTConfig(**saved["model_args"]))
        model.load_state_dict({name.removeprefix("_orig_mod."): each for name, each in saved["model"].items()})
        model.eval()
        count = sum(parameter.numel() for parameter in model.parameters())
        return lambda ids: model(ids, ids)[0], count  # with targets it returns the logits of all positions


def train_foundry(payload: Mapping[str, Any], first: int, last: int) -> Timing:
    """Run Foundry's worker on `payload`; its steps are timed by its metrics. Raises CalledProcessError."""
    out = Path(payload["out"])
    out.mkdir(parents=True, exist_ok=True)
    file = out / "payload.json"
    file.write_text(json.dumps(dict(payload)))
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "foundry.train.direct", str(file)],
        env={**os.environ, "OMP_NUM_THREADS": str(payload["threads"])},
        check=True,
        capture_output=True,
        text=True,
    )
    wall_seconds = time.perf_counter() - began
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    marks = {row["step"]: row["seconds"] for row in rows}
    # the last step has a line of its own; another's is the nearest one before it
    start, end = (max(step for step in marks if step <= wanted) for wanted in (first, last))
    return Timing(start, end, marks[end] - marks[start], wall_seconds)


def foundry_logits_of(payload: Mapping[str, Any]) -> tuple[Callable[[Tensor], Tensor], int]:
    """The judged weights of a finished run as a function ids [B, T] → logits, and their number."""
    job = validate(Job, dict(payload))
    model = GPT(job.model, job.vocab_size)
    weights = checkpoint.load_weights(Path(job.out) / "checkpoint", model)
    model.eval()
    return model, sum(weight.numel() for weight in weights.values())
