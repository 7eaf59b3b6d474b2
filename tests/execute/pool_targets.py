"""Worker targets for the pool's tests: one for each way in which a worker can end. They run in forked workers."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError, RunFailure
from foundry.execute.progress_channel import Line

Payload = dict[str, Any]


def double(payload: Payload, line: Line) -> Payload:
    return {"y": payload["x"] * 2, "pid": os.getpid()}


def told(payload: Payload, line: Line) -> Payload:
    for step in range(payload["steps"]):
        line.tell(step=step)
    return {"steps": payload["steps"]}


def slow(payload: Payload, line: Line) -> Payload:
    """Works on until it is asked to stop; tells its pid into a file."""
    if "pid_file" in payload:
        Path(payload["pid_file"]).write_text(str(os.getpid()))
    end = time.monotonic() + payload.get("seconds", 60)
    while time.monotonic() < end and not line.stopping:
        line.tell(alive=True)
        time.sleep(0.01)
    return {"stopped": line.stopping}


def doubt_a_sample(payload: Payload, line: Line) -> Payload:
    if payload["sampled"]:
        return {"in_doubt": "leak: a loss changes"}
    return {"bpb": 3.0, "bytes": 1, "tokens": 1, "seconds": 0.0, "tier": "none", "probes": {}}


def fail_nan(payload: Payload, line: Line) -> Payload:
    raise RunFailure("nan", "loss at step 3")


def refuse(payload: Payload, line: Line) -> Payload:
    raise RequestError("slot.import_failed", "mine.py", "SyntaxError")


def raise_value_error(payload: Payload, line: Line) -> Payload:
    raise ValueError("wrong shape")


def leave_quietly(payload: Payload, line: Line) -> Payload:
    os._exit(0)


def leave_badly(payload: Payload, line: Line) -> Payload:
    print("last words")
    sys.stdout.flush()
    os._exit(3)


def segfault(payload: Payload, line: Line) -> Payload:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def kill_itself(payload: Payload, line: Line) -> Payload:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def fall_silent(payload: Payload, line: Line) -> Payload:
    line.tell(step=1)
    time.sleep(60)
    return {}


def ignore_everything(payload: Payload, line: Line) -> Payload:
    """Neither returns nor stops, and says it is fine."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        line.tell(alive=True)
        time.sleep(0.01)


def one_huge_array(payload: Payload, line: Line) -> Payload:
    return {"n": len(bytearray(8 << 30))}


def map_and_not_use(payload: Payload, line: Line) -> Payload:
    """What an accelerator's driver does."""
    return {"n": len(mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE))}


def grow(payload: Payload, line: Line) -> Payload:
    """Grows in a mapping that RLIMIT_DATA doesn't count, so that only the watch on resident memory sees it."""
    held = mmap.mmap(-1, 4 << 30, flags=mmap.MAP_SHARED)
    for offset in range(0, 4 << 30, 4096):
        held[offset] = 1
        if offset % (16 << 20) == 0:
            time.sleep(0.01)
    return {}


def say_nan(payload: Payload, line: Line) -> Payload:
    return {"loss": float("nan")}


def return_nothing(payload: Payload, line: Line) -> Any:
    return None


def babble(payload: Payload, line: Line) -> Payload:
    line._wire.socket.sendall(b"no JSON\n")
    time.sleep(60)
    return {}


def leave_children(payload: Payload, line: Line) -> Payload:
    """Starts a child in its group and a daemon that left the group, the session and its parent; returns their pids."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    script = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
    script += f"open({payload['pid_file']!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    subprocess.run([sys.executable, "-c", script], check=True)
    while not (written := Path(payload["pid_file"])).exists() or not written.read_text():
        time.sleep(0.01)
    if payload.get("stay"):
        Path(payload["stay"]).write_text(f"{os.getpid()} {child.pid} {written.read_text()}")
        slow({}, line)
    return {"child": child.pid, "daemon": int(written.read_text())}


def interrupt_self(payload: Payload, line: Line) -> Payload:
    os.killpg(os.getpgid(0), signal.SIGINT)
    return {"survived": True}


def surroundings(payload: Payload, line: Line) -> Payload:
    """What a worker inherits that it shouldn't: open files, a terminal's input."""
    files = len(os.listdir("/proc/self/fd"))
    return {"files": files, "stdin": sys.stdin.read(), "session": os.getsid(0) == os.getpid()}


def preloaded(payload: Payload, line: Line) -> Payload:
    return {"there": payload["module"] in sys.modules}


def number(payload: Payload, line: Line) -> Payload:
    """What multiprocessing counts."""
    process = multiprocessing.current_process()
    return {"name": process.name, "identity": list(process._identity)}  # type: ignore[attr-defined]


def threads(payload: Payload, line: Line) -> Payload:
    """Multiply on `threads` threads; how many there were, and how much processor time a second of it took."""
    import torch

    torch.set_num_threads(payload["threads"])
    matrix = torch.randn(400, 400)
    for _ in range(20):
        matrix = matrix @ matrix / 20
    return {"set": torch.get_num_threads(), "running": len(os.listdir("/proc/self/task"))}


def bus_error(payload: Payload, line: Line) -> Payload:
    os.kill(os.getpid(), signal.SIGBUS)
    return {}


def lose_a_file(payload: Payload, line: Line) -> Payload:
    """As a worker whose data somebody has removed."""
    raise FileNotFoundError(2, "No such file or directory", "tokens.bin")


def lose_a_file_once(payload: Payload, line: Line) -> Payload:
    from soak.trainer import train

    mark = Path(payload["out"]) / "lost"
    if not mark.exists():
        mark.touch()
        lose_a_file(payload, line)
    return train(payload, line)
