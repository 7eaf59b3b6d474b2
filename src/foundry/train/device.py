"""Where a run computes: device, threads, precision, and the settings that make it repeatable.

May not: change what is computed; a recipe's numbers never depend on this file except by rounding.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
import torch.utils.deterministic as deterministic

from foundry.core.errors import RequestError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; under torchrun, CUDA device `local_rank`.

    Raises RequestError for a name that isn't one, or a device that this machine doesn't have.
    """
    kind, _, index = name.partition(":")
    if kind not in DEVICES or (index and not (kind == "cuda" and index.isdigit())):
        raise RequestError("train.unknown_device", "device", f"no '{name}'", got=name, choices=DEVICES)
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        kind = next(each for each in ("cuda", "mps", "cpu") if has[each])
    if not has[kind]:
        present = [each for each in DEVICES if has.get(each, True)]
        raise RequestError("train.no_device", "device", f"this machine has no {kind}", got=name, choices=present)
    if kind != "cuda":
        return torch.device(kind)
    number = int(index) if index else local_rank
    if number >= torch.cuda.device_count():
        raise RequestError(
            "train.no_device", "device", f"no CUDA device {number}; this machine has {torch.cuda.device_count()}"
        )
    return torch.device("cuda", number)


def settle(device: torch.device, threads: int = 0) -> None:
    """Make this process compute the same bits each time: thread count (0 leaves it) and deterministic kernels."""
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when its handle is made
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms would import inductor, for 1.4 s
    # else every empty() is written twice
    deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def precision(device: torch.device, name: str) -> Callable[[], AbstractContextManager[object]]:
    """Makes the context of each forward pass: nothing for fp32; for bf16 autocast, weights and gradients stay fp32."""
    if name == "fp32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)


def hardware(kind: str) -> str:
    """What a measured speed holds for: the accelerators' models, or the processor's and its cores. Starts no device."""
    if kind.startswith("cuda"):
        texts = [path.read_text() for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
        lines = [line for text in texts for line in text.splitlines() if line.startswith("Model:")]
        return f"{kind} {os.environ.get('CUDA_VISIBLE_DEVICES', '')} {' '.join(' '.join(lines).split())}"
    about = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else platform.processor()
    model = next((line for line in about.splitlines() if line.startswith("model name")), platform.machine())
    return f"{kind} {' '.join(model.split())} x{os.cpu_count()}"


def reseeder(device: torch.device) -> Callable[[int], object]:
    """Seeds the generator that dropout on `device` draws from.

    `torch.manual_seed` visits every backend and costs 0.13 ms, one or two per cent of a small step; a generator 1 µs.
    """
    if device.type == "cpu":
        return torch.default_generator.manual_seed
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0].manual_seed
    return torch.manual_seed
