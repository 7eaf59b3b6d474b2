"""Batches for training that can't be trusted: the harness computes each, counts it, and hands it over once, in order.

The trainer sees no training file, so that the tokens of a run are those that were handed over, whatever it says. One
block of shared memory holds one batch; the trainer asks over its wire, a byte says that the batch is there. The block
can't be resized (a trainer that shrank it would kill the harness with SIGBUS). Shapes: B rows, T context.
May not: know why a batch is wanted, or read a file.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

# from <linux/fcntl.h>; Python's fcntl names them from 3.12 on
_F_ADD_SEALS, _SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW = 1033, 1, 2, 4

Send = Callable[[dict[str, Any]], None]


class Block:
    """Shared memory for ids [B, T + 1], int64, and the pipe that says when they are there."""

    def __init__(self, rows: int, context: int, files: tuple[int, int] | None = None) -> None:
        """files: the trainer's end of a block that exists, of which only that end can be used."""
        self.shape = (rows, context + 1)
        self._size = 8 * rows * (context + 1)
        self._ids: np.ndarray | None = None
        if files is not None:
            self.memory, self.ready_read = files
            self.ready_write = -1
            return
        self.memory = os.memfd_create("batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory, self._size)
        fcntl.fcntl(self.memory, _F_ADD_SEALS, _SEAL_SEAL | _SEAL_SHRINK | _SEAL_GROW)
        self.ready_read, self.ready_write = os.pipe()

    @property
    def ids(self) -> np.ndarray:
        """Mapped on first use, by each process for itself."""
        if self._ids is None:
            self._ids = np.frombuffer(mmap.mmap(self.memory, self._size), np.int64).reshape(self.shape)
        return self._ids

    def trainers_files(self) -> tuple[int, int]:
        """What the trainer's process keeps open: the block, and the pipe's end."""
        return self.memory, self.ready_read

    def to_json(self) -> dict[str, Any]:
        """For a program that is started with the trainer's files."""
        rows, context = self.shape[0], self.shape[1] - 1
        return {"rows": rows, "context": context, "files": [self.memory, self.ready_read]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Block:
        return cls(**{**value, "files": tuple(value["files"])})

    def hand_over(self, ids: torch.Tensor) -> None:
        """The harness's end: ids [B, T + 1] are there."""
        np.copyto(self.ids, ids.numpy())
        os.write(self.ready_write, b"\1")

    def asked(self, send: Send, step: int) -> torch.Tensor:
        """The trainer's end: ids of the batch of `step`, a copy. Raises OSError when the harness has gone."""
        import torch

        send({"batch": step})
        if not os.read(self.ready_read, 1):
            raise OSError("nobody hands over batches any more")
        return torch.from_numpy(self.ids.copy())

    def keep_harness_end(self) -> None:
        """After the fork."""
        os.close(self.ready_read)

    def close(self) -> None:
        for handle in (self.memory, self.ready_write):
            os.close(handle)
