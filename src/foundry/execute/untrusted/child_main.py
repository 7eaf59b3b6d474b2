"""The life of a process that runs workspace code: confined first, then allowed to import it. May not: return.

    python -P -m foundry.execute.untrusted.child_main '{"target": …}'     (how `start` begins it inside bubblewrap)

It has an empty folder to write in, its workspace to read, a wire to its harness, and nothing else: no training file, no
judged text, no ledger, no network, no environment. What it says is heard as claims.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from foundry.core import code
from foundry.execute.json_socket import Wire
from foundry.execute.linux import die_with_parent
from foundry.execute.progress_channel import Line
from foundry.execute.untrusted.batch_feed import Block
from foundry.execute.worker import outcome
from foundry.sandbox import Policy, accelerator_devices, confine, wrap

_LOWEST = 3  # above what is read from, printed to and complained to
PRELOAD = ("torch._dynamo", "foundry.train.worker")
"""What a warm process has imported already; confined, some of it would look for places to write."""


@dataclass(frozen=True)
class Order:
    """What to do inside. target: "module:function", called with (payload, line, what gives a batch)."""

    target: str
    payload: dict[str, Any]
    policy: Policy
    tier: str


def start(order: Order, end: socket.socket, page: int, block: Block | None, parent: int) -> NoReturn:
    """From just after the fork; what it prints goes to the file `page`. Never returns, never raises."""
    try:
        die_with_parent(parent)  # before the confinement, which makes it irrevocable
        os.dup2(page, 1)
        os.dup2(page, 2)
        end, block = _keep_only(end, block)
        if order.tier == "bubblewrap":
            _start_anew(order, end, block)
        gc.freeze()  # what the harness left behind is never collected here
        _obey(order, end, block)
    finally:
        os._exit(0)


def _start_anew(order: Order, end: socket.socket, block: Block | None) -> NoReturn:
    """Become bubblewrap with a new Python in it. (Its own environment could be read inside.)"""
    said = {
        "order": {**vars(order), "policy": order.policy.to_json()},
        "wire": end.fileno(),
        "block": block.to_json() if block else None,
    }
    command = wrap([sys.executable, "-P", "-m", "foundry.execute.untrusted.child_main", json.dumps(said)], order.policy)
    os.execve(command[0], command, dict(order.policy.env))


def main() -> NoReturn:
    """Inside bubblewrap, nothing imported yet."""
    said = json.loads(sys.argv[1])
    order = Order(**{**said["order"], "policy": Policy.from_json(said["order"]["policy"])})
    block = Block.from_json(said["block"]) if said["block"] else None
    for name in (*PRELOAD, order.target.partition(":")[0]):
        importlib.import_module(name)
    _obey(order, socket.socket(fileno=said["wire"]), block)


def _obey(order: Order, end: socket.socket, block: Block | None) -> NoReturn:
    try:
        # line by line, so that what was printed before a sudden end is there
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", 1, errors="replace", closefd=False) for fd in (1, 2))
        if order.tier != "none":
            confine(order.policy)
        else:
            os.environ.clear()
            os.environ.update(order.policy.env)
        code.admit()
        wire = Wire(end)
        line = Line(wire)
        signal.signal(signal.SIGTERM, lambda number, frame: line.stop())
        line.tell(begun=time.process_time())  # from here on its time is the code's own
        asked = partial(block.asked, wire.send) if block else None
        wire.send(outcome(order.target, order.payload, line, asked))
        end.recv(1)  # its harness reads its clock and ends it: it may not be gone before
    finally:
        os._exit(0)


def train(payload: dict[str, Any], line: Line, asked: Callable[[int], Any]) -> dict[str, Any]:
    """`train.worker.main` on batches that are handed over, step → ids [B, T + 1]."""
    from foundry.train import worker

    return worker.main(payload, line, supply=asked)


def measure(payload: dict[str, Any], line: Line, asked: None) -> dict[str, Any]:
    """{"flops_per_token", "parameters"} of the model in payload {model, vocab_size}, as torch counts them."""
    from foundry.core.section import validate
    from foundry.execute.untrusted.count_flops import measured
    from foundry.model import ModelConfig

    return measured(validate(ModelConfig, payload["model"], "model"), payload["vocab_size"])


def _keep_only(end: socket.socket, block: Block | None) -> tuple[socket.socket, Block | None]:
    """The wire and the block at the lowest numbers, the same in every such process; every other file is closed, and
    stdin leads nowhere."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    handles = [end.detach(), *(block.trainers_files() if block else ())]
    apart = [fcntl.fcntl(handle, fcntl.F_DUPFD, _LOWEST + len(handles)) for handle in handles]
    for number, handle in enumerate(apart, start=_LOWEST):
        os.dup2(handle, number)
    os.closerange(_LOWEST + len(handles), os.sysconf("SC_OPEN_MAX"))
    if block:
        block.memory, block.ready_read = _LOWEST + 1, _LOWEST + 2
    return socket.socket(fileno=_LOWEST), block


def policy_for(folder: Path, workspace: Path, memory_bytes: int, env: dict[str, str], device: str = "cpu") -> Policy:
    """What such a process may reach: `folder` to write in, `workspace` to read, and what it computes on."""
    return Policy(
        devices=accelerator_devices(device),
        read=(workspace,),
        write=folder,
        env=env,
        memory_bytes=memory_bytes,
        file_bytes=min(memory_bytes, 1 << 32) or 1 << 32,
    )


if __name__ == "__main__":
    main()
