"""What a forked process still has of its parent's stack: nothing, where code that nobody has read is to run in it."""

from __future__ import annotations

import ctypes
from types import FrameType


def forget(frame: FrameType | None) -> None:
    """Overwrite the variables of `frame` and of all that called it, which this process never returns to."""
    while frame is not None and frame.f_back is not None:  # the last one's variables are a module's
        variables = frame.f_locals
        variables.update(dict.fromkeys(variables, 1))  # also the exit code, should anything go wrong from here on
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), 0)
        frame = frame.f_back
