"""The contestant's side: a process that holds a model's code and weights, and answers ids with logits.

It is forked before any judged text is in memory, keeps no file but its channel, and knows neither targets nor byte
counts nor which of its rows are probes. May not: read judged data, score anything.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from foundry.core import code
from foundry.core.frames import forget
from foundry.judge.channel import Ask, Channel, Status
from foundry.sandbox import accelerator_devices, confine, contestant_policy
from foundry.sandbox.confinement import available

_PR_SET_PDEATHSIG = 1


def _tier_by_default() -> str:
    """Confined where the kernel can. With an accelerator it is asked for, by who judges agents' code."""
    return "landlock" if available() and not accelerator_devices() else "none"


@dataclass(frozen=True)
class Job:
    """What is to be judged: plain data, so that nothing of the contestant's is imported in the judge."""

    model: dict[str, Any]
    vocab_size: int
    checkpoint: Path
    device: str
    threads: int
    precision: str
    tier: str = field(default_factory=_tier_by_default)
    """In all but `none` its process gives up everything but reading code and weights before the model is loaded."""
    admitted: bool = False
    """Whether workspace code may run in a process that isn't confined."""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "checkpoint": str(self.checkpoint)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        return cls(**{**value, "checkpoint": Path(value["checkpoint"])})

    @property
    def context(self) -> int:
        return int(self.model["context"])


class InvalidOutput(Exception):
    """The model gave something that isn't logits of the right shape."""


def serve(job: Job, channel: Channel) -> NoReturn:
    """The life of a contestant's process, from just after the fork. Never returns, never raises."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the judge's death is ours
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        forget(sys._getframe(1))  # which text it is, and how much of it
        gc.freeze()  # what the judge left behind is never collected here: its files and mappings are no longer these
        _keep_only(channel.contestant_fds())
        channel.enter_contestant()
        _answer_all(job, channel)
    finally:
        os._exit(0)


def _answer_all(job: Job, channel: Channel) -> None:
    answerer = _Answerer(job, channel)
    while (question := channel.next_question()) is not None:
        ask, argument = question
        try:
            answerer(Ask(ask), argument)
        except BaseException as error:  # whatever the contestant's code raises, SystemExit too, is its failure
            channel.answer(_status(error), _words(error))
        else:
            channel.answer(Status.OK)


class _Answerer:
    def __init__(self, job: Job, channel: Channel) -> None:
        self.job, self.channel = job, channel
        self.model: Any = None
        self.logits: Any = None

    def __call__(self, ask: Ask, argument: int) -> None:
        if ask is Ask.LOAD:
            self._load()
        elif ask is Ask.FORWARD:
            self._forward(rows=argument)
        else:
            piece = self.logits[argument : argument + self.channel.slice_positions]
            self.channel.logits[: len(piece)] = piece.float().cpu().numpy()

    def _load(self) -> None:
        import torch

        from foundry.core.section import validate
        from foundry.model import ModelConfig, build
        from foundry.train import checkpoint, device

        if self.job.tier != "none":
            confine(contestant_policy(self.job.checkpoint, self.job.device, self.job.threads))
        if self.job.tier != "none" or self.job.admitted:
            code.admit()
        self.device = device.choose_device(self.job.device)
        device.settle(self.device, self.job.threads)
        model = build(validate(ModelConfig, self.job.model, "model"), self.job.vocab_size)
        parameters = dict(model.named_parameters())
        tensors = checkpoint.load_weights(self.job.checkpoint)
        checkpoint.check(tensors, parameters, self.job.checkpoint)
        for name, parameter in parameters.items():
            parameter.data = tensors[name]
        self.model = model.to(self.device).eval()
        self.autocast = device.precision(self.device, self.job.precision)
        torch.seed()  # the fork shares its generator's state: what draws at random must not draw alike everywhere

    def _forward(self, rows: int) -> None:
        import torch

        self.logits = None  # the last batch's memory goes before the next batch's is asked for
        ids = torch.from_numpy(self.channel.ids[:rows].copy()).to(self.device)
        with torch.inference_mode(), self.autocast():
            logits = self.model(ids)
        shape = (*ids.shape, self.job.vocab_size)
        if not isinstance(logits, torch.Tensor) or not logits.is_floating_point() or logits.shape != shape:
            got = f"{logits.dtype} {list(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise InvalidOutput(f"the model returned {got} where floating-point logits {list(shape)} are due")
        self.logits = logits.reshape(-1, self.job.vocab_size)


def _keep_only(fds: set[int]) -> None:
    """Close every file but `fds`; the standard ones lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    below = 3
    for fd in sorted(fds):
        os.closerange(below, fd)
        below = fd + 1
    os.closerange(below, os.sysconf("SC_OPEN_MAX"))


def _status(error: BaseException) -> Status:
    if isinstance(error, InvalidOutput):
        return Status.INVALID
    torch = sys.modules.get("torch")
    out_of_memory = (MemoryError, torch.OutOfMemoryError) if torch else (MemoryError,)
    if isinstance(error, out_of_memory) or "can't allocate memory" in str(error):  # torch's CPU allocator
        return Status.OOM
    return Status.CRASH


def _words(error: BaseException) -> str:
    """The error, and the last line of code that led to it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"
