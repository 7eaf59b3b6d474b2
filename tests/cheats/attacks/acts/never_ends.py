"""Computes for ever."""

from __future__ import annotations


def attack(target: str) -> None:
    while True:
        pass
