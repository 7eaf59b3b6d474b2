"""One GPU (figures are for an H200): a 124M model's tokens a second and MFU, populations, attention kernels.

    python benchmarks/gpu.py [--nanogpt DIR]

- 124M: GPT-2's shape at context 1024 in bf16, compiled, each side at its best micro-batch; nanoGPT by its own train.py.
  MFU is (6 N + 12 layers · width · context) · tokens/s over 989 TFLOP/s, N without the learned positions.
- Populations of 1, 8 and 64 models of 0.8M parameters, in members' steps a second, against one after the other; steps
  are recorded as CUDA graphs on both sides, as the scheduler measures them.
- Attention: forward and backward of torch's kernels at the 124M shape.

Data is drawn at random; nothing is read from a network. `--tiny` walks through it all at toy sizes, on a CPU too.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.characters import write_tokens
from benchmarks.contestants import NanoGPT, train_foundry
from benchmarks.measuring import machine, median, report
from foundry.core.section import validate
from foundry.model import count_parameters
from foundry.train import throughput
from foundry.train.device import settle
from foundry.train.program import Job

PEAK_FLOPS = 989e12  # H200, bf16 with fp32 sums, dense
BIG = {"layers": 12, "width": 768, "heads": 12, "context": 1024, "vocab_size": 50304}
SMALL = {"layers": 4, "width": 128, "heads": 4, "context": 64, "vocab_size": 65}
TOY = {"layers": 1, "width": 16, "heads": 2, "context": 16, "vocab_size": 31}
MICRO_BATCHES, WIDTHS = (32, 64, 16), (1, 8, 64)  # the likeliest first: time may run out
BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


class Bench:
    """Sizes and places; a deadline after which no further arm is begun."""

    def __init__(self, options: argparse.Namespace, place: Path) -> None:
        self.options, self.place = options, place
        self.device = "cpu" if options.tiny and not torch.cuda.is_available() else "cuda"
        self.big, self.small = (TOY, TOY) if options.tiny else (BIG, SMALL)
        self.micro_batches, self.widths = ((2, 4), (1, 2)) if options.tiny else (MICRO_BATCHES, WIDTHS)
        self.warm, self.steps = (2, 6) if options.tiny else (50, 50)
        self.deadline = time.monotonic() + options.minutes * 60
        self.count = 0
        ids = np.random.default_rng(0).integers(self.big["vocab_size"], size=10**7 if not options.tiny else 10**4)
        self.tokens = write_tokens(ids.astype(np.uint16), place / "tokens")

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def payload(self, sizes: dict[str, int], batch_size: int, precision: str, seed: int = 0) -> dict[str, Any]:
        self.count += 1
        model = {name: sizes[name] for name in ("layers", "width", "context")}
        return {
            "model": {
                **model,
                "attention": {"kind": "gqa", "heads": sizes["heads"]},
                "norm": "layernorm",
                "activation": "gelu",
                "position": "learned",
            },
            "train": {
                "batch_size": batch_size,
                "loss": "cross_entropy",
                "optimizer": {"kind": "adamw", "lr": 6e-4 * (1 + seed % 4)},
                "schedule": "cosine",
                "precision": precision,
            },
            "seed": seed,
            "steps": self.warm + self.steps,
            "vocab_size": sizes["vocab_size"],
            "train_dir": str(self.tokens),
            "out": str(self.place / f"run{self.count}"),
            "device": self.device,
            "threads": os.cpu_count() or 1,
            "checkpoint_seconds": 3600.0,
        }

    # -- 124M ------------------------------------------------------------------------------------------------------

    def ours(self, micro_batch: int) -> float:
        """Tokens a second of Foundry's worker, compiled."""
        mode = "never" if self.device == "cpu" else "always"
        payload = {**self.payload(self.big, micro_batch, "bf16"), "compile": mode}
        timing = train_foundry(payload, self.warm, self.warm + self.steps)
        return micro_batch * self.big["context"] / timing.step_seconds

    def theirs(self, nanogpt: NanoGPT, micro_batch: int) -> float:
        """Tokens a second of nanoGPT's train.py, compiled."""
        big = self.big
        settings = {
            "device": self.device,
            "dtype": "bfloat16",
            "compile": self.device != "cpu",
            "gradient_accumulation_steps": 1,
            "batch_size": micro_batch,
            "block_size": big["context"],
            "n_layer": big["layers"],
            "n_head": big["heads"],
            "n_embd": big["width"],
            "dropout": 0.0,
            "bias": False,
            "eval_interval": 10**9,
            "eval_iters": 1,
            "max_iters": self.warm + self.steps,
        }
        timing = nanogpt.train(settings, self.warm, self.warm + self.steps, threads=os.cpu_count() or 1)
        return micro_batch * big["context"] / timing.step_seconds

    def big_rows(self) -> list[dict[str, Any]]:
        sides: dict[str, Any] = {"foundry": self.ours}
        if self.options.nanogpt:
            nanogpt = NanoGPT(self.options.nanogpt, self.place / "nanogpt")
            nanogpt.data.mkdir(parents=True)
            for name in ("train.bin", "val.bin"):
                (nanogpt.data / name).symlink_to(self.tokens / "tokens.bin")
            sides["nanogpt"] = lambda micro_batch: self.theirs(nanogpt, micro_batch)
        speeds: dict[str, dict[int, float]] = {name: {} for name in sides}
        failures: list[str] = []
        for micro_batch in self.micro_batches:  # in turn, so that a warm or a cold device favours nobody
            for name, side in sides.items():
                try:
                    if not self.late:
                        speeds[name][micro_batch] = side(micro_batch)
                except Exception as error:  # out of memory at the widest, for one: the others still count
                    failures.append(f"{name} at {micro_batch}: {_last_line(error)}")
        rows = []
        for name, found in speeds.items():
            best = max(found, key=lambda size: found[size]) if found else None
            speed = found[best] if best is not None else None
            what = f"124M bf16, {name}" + (f", micro-batch {best}" if best is not None else " (failed)")
            rows.append({"what": what, "tokens/s": speed, "MFU": speed and self.mfu(speed), "ratio": None})
        if len(rows) == 2 and rows[0]["tokens/s"] and rows[1]["tokens/s"]:
            rows[0]["ratio"] = rows[0]["tokens/s"] / rows[1]["tokens/s"]
        for failure in failures:
            print(failure, file=sys.stderr)
        return rows

    def mfu(self, tokens_per_second: float) -> float:
        big, job = self.big, validate(Job, self.payload(self.big, 1, "bf16"))
        weights = count_parameters(job.model, job.vocab_size) - big["context"] * big["width"]
        return (6 * weights + 12 * big["layers"] * big["width"] * big["context"]) * tokens_per_second / PEAK_FLOPS

    # -- populations -----------------------------------------------------------------------------------------------

    def population_rows(self) -> list[dict[str, Any]]:
        """Members' steps a second at each width, as the scheduler would measure them."""
        place = torch.device(self.device)
        settle(place, 4)
        jobs = [validate(Job, self.payload(self.small, 12, "fp32", seed)) for seed in range(max(self.widths))]
        tokens = 12 * self.small["context"]
        rows: list[dict[str, Any]] = []
        alone = 0.0
        for width in self.widths:
            if self.late:
                break
            seconds = 0.05 if self.options.tiny else 3.0
            rate = median([throughput.rate(jobs[:width], seconds) for _ in range(3)])
            alone = alone or rate
            what = f"population of {width}, 0.8M parameters"
            rows.append({"what": what, "tokens/s": rate * tokens, "MFU": None, "ratio": rate / alone})
        return rows

    # -- attention -------------------------------------------------------------------------------------------------

    def attention_rows(self) -> list[dict[str, Any]]:
        """Tokens a second of one layer's attention, forward and backward; the ratio is to the first that works."""
        place, big, batch = torch.device(self.device), self.big, self.micro_batches[0]
        shape = (batch, big["heads"], big["context"], big["width"] // big["heads"])
        rows: list[dict[str, Any]] = []
        for backend in BACKENDS:
            what = f"attention, {backend.name.lower()}"
            try:
                seconds = None if self.late else _attention_seconds(backend, shape, place, self.steps)
            except RuntimeError as error:
                print(f"{what}: {_last_line(error)}", file=sys.stderr)
                seconds = None
            speed = seconds and batch * big["context"] / seconds
            rows.append({"what": what, "tokens/s": speed, "MFU": None, "ratio": None})
        best = max((row["tokens/s"] for row in rows if row["tokens/s"]), default=None)
        for row in rows:
            row["ratio"] = row["tokens/s"] and best and row["tokens/s"] / best
        return rows


def _attention_seconds(backend: SDPBackend, shape: Sequence[int], place: torch.device, steps: int) -> float:
    """Of one forward and backward pass in bf16, causal."""
    q, k, v = (torch.randn(shape, device=place, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    with sdpa_kernel(backend):
        for i in range(3 + steps):
            if i == 3:
                _wait(place)
                started = time.perf_counter()
            F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
            q.grad = k.grad = v.grad = None
    _wait(place)
    return (time.perf_counter() - started) / steps  # pyright: ignore[reportPossiblyUnboundVariable]


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize()


def _last_line(error: Exception) -> str:
    """What went wrong, of a process or of a call."""
    said = str(getattr(error, "stderr", None) or getattr(error, "output", None) or error).strip()
    return said.splitlines()[-1] if said else type(error).__name__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT to compare with")
    parser.add_argument("--minutes", type=float, default=8.0, help="no further arm is begun after so long")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device")
    with tempfile.TemporaryDirectory() as place:
        os.environ.setdefault("FOUNDRY_CACHE", str(Path(place) / "cache"))
        bench = Bench(options, Path(place))
        rows = [*bench.population_rows(), *bench.attention_rows()]
        gc.collect()
        torch.cuda.empty_cache()  # the next ones are processes of their own
        rows += bench.big_rows()
    report("gpu", {"machine": machine(bench.device), "tiny": options.tiny}, rows, options.out)


if __name__ == "__main__":
    main()
