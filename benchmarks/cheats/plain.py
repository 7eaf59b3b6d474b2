"""The plain evaluator, the negative control: it trains and evaluates in one process and prints `val_bpb: …`.

Written as training scripts usually are: the model's code is imported, targets lie beside inputs, F.cross_entropy gives
the loss, time.time() the seconds, and whoever started it believes the first line that looks like a result. It runs in a
process of its own here, with a deadline and a bound on memory, only so that what it is made to do ends.
"""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from foundry.core import code
from foundry.core.section import validate
from foundry.data.eval_split import JudgedSplit
from foundry.judge.windows import cut_windows
from foundry.model import ModelConfig, build
from foundry.train import checkpoint, worker
from foundry.train.progress import LocalLine

MEMORY_BYTES = 1 << 30
LINES = {
    name: re.compile(rf"^{name}: ([0-9.-]+)".encode(), re.MULTILINE) for name in ("val_bpb", "as_given", "seconds")
}


@dataclass(frozen=True)
class Report:
    """val_bpb: what it reported, None for nothing; as_given: had it taken outputs for log-probabilities. ended: how."""

    ended: str
    val_bpb: float | None
    as_given: float | None
    seconds: float | None


def run(payload: dict[str, Any], judge_dir: Path, judged_bytes: int, out: Path, seconds: float) -> Report:
    """Train the payload of `train.worker` and evaluate it, plainly."""
    log = out / "plain.txt"
    supervisor = os.fork()
    if supervisor == 0:  # whoever kills its parent kills this one
        os.setsid()
        _supervise(payload, judge_dir, judged_bytes, log, seconds)
    _, status = os.waitpid(supervisor, 0)
    text = log.read_bytes() if log.is_file() else b""
    first = {name: line.search(text) for name, line in LINES.items()}
    code_ = os.waitstatus_to_exitcode(status)
    ended = {0: "exit code 0", -9: "the script that started it was killed", 99: f"still running after {seconds:g} s"}
    reported = {name: float(found[1]) if found else None for name, found in first.items()}
    return Report(ended.get(code_, f"exit code {code_}"), **reported)


def _supervise(payload: dict[str, Any], judge_dir: Path, judged_bytes: int, log: Path, seconds: float) -> None:
    try:
        script = os.fork()
        if script == 0:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            _script(payload, judge_dir, judged_bytes)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(script, os.WNOHANG)
            if pid:
                ended = os.waitstatus_to_exitcode(status)
                os._exit(ended if ended >= 0 else 128 - ended)
            time.sleep(0.02)
        os.kill(script, signal.SIGKILL)
        os.waitpid(script, 0)
        os._exit(99)
    finally:
        os._exit(98)


def _script(payload: dict[str, Any], judge_dir: Path, judged_bytes: int) -> None:
    try:
        bound = _data_bytes() + MEMORY_BYTES  # beside what the process that it was forked from holds
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
        code.admit()
        torch.set_num_threads(1)
        started = time.time()
        worker.main(payload, LocalLine())
        model = build(validate(ModelConfig, payload["model"], "model"), payload["vocab_size"]).eval()
        checkpoint.load_weights((Path(payload["out"]) / "checkpoint").resolve(), model)  # as torch.load would
        split = JudgedSplit.open(judge_dir, "validation").select(judged_bytes)
        windows = cut_windows(split, payload["model"]["context"], payload["vocab_size"])
        nats = as_given = 0.0
        with torch.no_grad():
            for start in range(0, len(windows.lengths), 16):
                inputs = torch.from_numpy(windows.inputs[start : start + 16])
                targets = torch.from_numpy(windows.targets[start : start + 16])
                real = torch.from_numpy(windows.real[start : start + 16])
                logits = model(inputs).float()
                losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
                nats += float(losses[real.flatten()].sum())
                as_given -= float(logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)[real].sum())
        bits = {"val_bpb": nats / math.log(2) / windows.bytes, "as_given": as_given / math.log(2) / windows.bytes}
        for name, value in {**bits, "seconds": time.time() - started}.items():
            os.write(1, f"\n{name}: {value:.6f}\n".encode())
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _data_bytes() -> int:
    """What this process's limit on data counts already."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024
