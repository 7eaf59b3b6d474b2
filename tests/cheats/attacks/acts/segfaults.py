"""Reads where nothing is."""

from __future__ import annotations

import ctypes


def attack(target: str) -> None:
    ctypes.string_at(8)
