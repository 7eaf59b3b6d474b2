"""The only road between judge and contestant: token ids go in, raw logits and one status byte come out.

Each contestant has one block of shared memory and two pipes. The block can't be resized (a contestant that shrank it
would kill the judge with SIGBUS), and nothing in it is parsed: ids and logits are plain numbers, words are shown to
people as printable ASCII. May not: hold a target, a byte count, or anything that is unpickled.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from enum import IntEnum
from typing import Any

import numpy as np

WORDS_BYTES = 1024
SLICE_FLOATS = 1 << 20  # 4 MiB of logits at a time: larger slices fall out of the cache, and memory stays bounded
QUESTION = struct.Struct("<BI")

# from <linux/fcntl.h>; Python's fcntl names them from 3.12 on
_F_ADD_SEALS, _SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW = 1033, 1, 2, 4


class Ask(IntEnum):
    """What the judge asks. The argument: nothing; rows in the batch; the first of the positions to copy out."""

    LOAD = 0
    FORWARD = 1
    SLICE = 2


class Status(IntEnum):
    """What a contestant answers."""

    OK = 0
    CRASH = 1
    OOM = 2
    INVALID = 3


class Channel:
    """Shared memory and pipes for batches of up to `rows` windows of `context` ids over `vocab_size` tokens."""

    def __init__(self, rows: int, context: int, vocab_size: int, files: tuple[int, int, int] | None = None) -> None:
        """files: the contestant's end of a channel that exists, of which only that end can be used."""
        self.rows, self.context, self.vocab_size = rows, context, vocab_size
        self.slice_positions = max(1, min(rows * context, SLICE_FLOATS // vocab_size))
        self._ids_bytes = rows * context * 8
        self._logits_bytes = self.slice_positions * vocab_size * 4
        self._size = self._ids_bytes + self._logits_bytes + WORDS_BYTES
        if files is not None:
            self._block, question, answer = files
            self._questions, self._answers = (question, -1), (-1, answer)
            return
        self._block = os.memfd_create("contestant", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._block, self._size)
        fcntl.fcntl(self._block, _F_ADD_SEALS, _SEAL_SEAL | _SEAL_SHRINK | _SEAL_GROW)
        self._questions = os.pipe()
        self._answers = os.pipe()

    # -- the contestant's end ---------------------------------------------------------------------------------------

    def contestant_fds(self) -> set[int]:
        """What a contestant's process keeps open."""
        return {self._block, self._questions[0], self._answers[1]}

    def to_json(self) -> dict[str, Any]:
        """For a program that is started with the contestant's files."""
        files = [self._block, self._questions[0], self._answers[1]]
        return {"rows": self.rows, "context": self.context, "vocab_size": self.vocab_size, "files": files}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Channel:
        return cls(**{**value, "files": tuple(value["files"])})

    def enter_contestant(self) -> None:
        self._map()

    def next_question(self) -> tuple[int, int] | None:
        """(ask, argument); None once the judge has gone."""
        data = os.read(self._questions[0], QUESTION.size)
        return QUESTION.unpack(data) if len(data) == QUESTION.size else None

    def answer(self, status: Status, words: str = "") -> None:
        shown = words.encode("ascii", "replace")[:WORDS_BYTES].ljust(WORDS_BYTES, b"\0")
        self._words[:] = np.frombuffer(shown, np.uint8)
        os.write(self._answers[1], bytes([status]))

    # -- the judge's end --------------------------------------------------------------------------------------------

    def enter_judge(self) -> None:
        """After the fork: close the contestant's ends, and keep the mapping out of every later fork."""
        self._map()
        self._memory.madvise(mmap.MADV_DONTFORK)
        for fd in self.contestant_fds():
            os.close(fd)

    def ask(self, ask: Ask, argument: int = 0) -> None:
        """Raises BrokenPipeError when the contestant has gone."""
        os.write(self._questions[1], QUESTION.pack(ask, argument))

    @property
    def answer_fd(self) -> int:
        """Readable when there is an answer, or when the contestant has gone."""
        return self._answers[0]

    def read_answer(self) -> Status | None:
        """None when the contestant has gone or answered nonsense."""
        data = os.read(self._answers[0], 2)
        return Status(data[0]) if len(data) == 1 and data[0] < len(Status) else None

    def words(self) -> str:
        """What the contestant says of its failure: printable ASCII on one line, to be shown and never parsed."""
        text = bytes(self._words).partition(b"\0")[0].decode("ascii", "replace")
        return " ".join("".join(c if c.isascii() and c.isprintable() else " " for c in text).split())

    def close(self) -> None:
        os.close(self._questions[1])
        os.close(self._answers[0])
        del self.ids, self.logits, self._words  # they hold the mapping open
        self._memory.close()

    def _map(self) -> None:
        self._memory = mmap.mmap(self._block, self._size)
        at = self._ids_bytes
        self.ids = np.frombuffer(self._memory, np.int64, self.rows * self.context).reshape(self.rows, self.context)
        self.logits = np.frombuffer(self._memory, np.float32, self._logits_bytes // 4, at)
        self.logits = self.logits.reshape(self.slice_positions, self.vocab_size)
        self._words = np.frombuffer(self._memory, np.uint8, WORDS_BYTES, at + self._logits_bytes)
