"""Ten thousand promotions over a thousand seasons, across the second 2^31 of the clock: nothing counts to an end, and a
promotion takes at the end what it took at the beginning.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.compare.comparison import MOST_REPORTS
from foundry.execute.linux import resident_bytes
from foundry.ledger.ledger import Ledger, ledger_path
from soak.endless import SHORT_SEASONS, climb, seasons
from soak.lab import TRACK, home_of_its_own
from soak.test_long import MOST_BYTES_A_RUN

PROMOTIONS = int(os.environ.get("SOAK_PROMOTIONS", "10000"))
RUNS_A_PROMOTION = 38


class Watch:
    """What the controller uses at each promotion: seconds of processor time, bytes. hoard: bytes that it keeps for
    each, as a leak would."""

    def __init__(self, hoard: int = 0) -> None:
        self.rows: list[tuple[float, float]] = []
        self._hoard: list[mmap.mmap] = []
        self._size, self._before = hoard, time.process_time()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["kind"] == "certified":
            now = time.process_time()
            if self._size:
                page = mmap.mmap(-1, self._size)  # of its own: memory that an earlier test gave back would hide it
                page.write(b"x" * self._size)
                self._hoard.append(page)
            self.rows.append((now - self._before, resident_bytes(os.getpid())))
            self._before = now

    def report(self) -> dict[str, float]:
        """By promotion, after the first third, when what is kept of a bounded size is full."""
        seconds, resident = np.array(self.rows[len(self.rows) // 3 :]).T
        half = len(seconds) // 2
        return {
            "bytes_a_run": float(np.polyfit(np.arange(len(resident)), resident, 1)[0]) / RUNS_A_PROMOTION,
            "ms_first_half": 1e3 * float(np.median(seconds[:half])),
            "ms_second_half": 1e3 * float(np.median(seconds[half:])),
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_of_its_own(tmp_path, monkeypatch)


def over_the_end_of_32_bits(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock pass second 2^31 after so many seconds."""
    real = time.time
    ahead = 2.0**31 - real() - seconds
    monkeypatch.setattr(time, "time", lambda: real() + ahead)


def test_an_endless_campaign_has_no_end(place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    over_the_end_of_32_bits(monkeypatch, 60.0)
    watch = Watch()
    climb(PROMOTIONS, rules=SHORT_SEASONS, told=watch)
    spent = seasons()
    report = watch.report()
    report |= {
        "reports": len(os.listdir("runs/reports")),
        "seasons": len(spent),
        "ledger_kb_a_promotion": ledger_path().stat().st_size / 1e3 / PROMOTIONS,
    }
    print(report)
    with Ledger.open() as ledger:
        line = ledger.promotions.lineage(TRACK)
    assert sum(entry["kind"] == "promote" for entry in line) == PROMOTIONS
    assert max(entry["created"] for entry in line) > 2**31
    assert len(spent) >= PROMOTIONS / 12 and all(alpha <= q + 1e-12 for alpha, q in spent)
    assert report["reports"] <= MOST_REPORTS
    assert report["bytes_a_run"] < MOST_BYTES_A_RUN
    assert report["ms_second_half"] < 2 * report["ms_first_half"]


def test_the_same_measure_sees_what_grows(place: None) -> None:
    watch = Watch(hoard=100_000)
    climb(max(PROMOTIONS // 50, 60), told=watch)
    assert watch.report()["bytes_a_run"] > MOST_BYTES_A_RUN
