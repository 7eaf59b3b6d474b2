"""Several processes at one global batch are one process, and stop together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.core.errors import RequestError
from foundry.core.section import validate
from foundry.train import checkpoint, worker
from foundry.train.distributed import World
from foundry.train.progress import LocalLine

TOLD_TO_STOP = """
import json, os, sys
from foundry.train import worker
from foundry.train.distributed import leave
from foundry.train.progress import LocalLine

class Once(LocalLine):
    def __init__(self, told_at):
        super().__init__()
        self.left = told_at
    @property
    def stopping(self):
        self.left -= 1
        return self.left < 0
    @stopping.setter
    def stopping(self, value): ...

payload, first = json.load(open(sys.argv[1])), os.environ["RANK"] == "0"
stopped = worker.main(payload, LocalLine() if first else Once(12))
finished = worker.main(payload, LocalLine())
if first:
    print(json.dumps([stopped, finished]))
leave(0)  # as the product's own door does
"""


def torchrun(folder: Path, payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a run by two processes, of which the second alone is told to stop after 12 steps, and of the
    same run gone on with."""
    folder.mkdir()
    (folder / "told.py").write_text(TOLD_TO_STOP)
    (folder / "payload.json").write_text(json.dumps({**payload, "out": str(folder / "run")}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(folder / "told.py"), str(folder / "payload.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_give_the_losses_of_one_and_stop_together(payload: dict[str, Any], tmp_path: Path) -> None:
    payload["model"]["dropout"] = 0.0  # its masks belong to a process's own rows
    alone = worker.main({**payload, "out": str(tmp_path / "one")}, LocalLine())
    stopped, finished = torchrun(tmp_path / "two", payload)
    assert (stopped["status"], stopped["steps"]) == ("interrupted", 20)
    assert (finished["status"], finished["tokens"]) == ("done", alone["tokens"])
    assert losses(tmp_path / "two" / "run") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    one, two = (checkpoint.load_weights(tmp_path / name / "checkpoint") for name in ("one", "two/run"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-3, rtol=1e-3)


def test_a_batch_that_processes_can_not_share_evenly_is_refused(payload: dict[str, Any]) -> None:
    payload["train"] |= {"batch_size": 6, "accumulation": 2}
    message = r"^\[train.uneven_batch\] train.batch_size: 6 rows don't divide by 2 processes × 2 micro-batches[^\n]*$"
    with pytest.raises(RequestError, match=message):
        World(rank=1, size=2).check(validate(worker.Job, payload).train)
