"""How every benchmark measures and reports: arms taken in turn, medians, one JSON file and one table.

May not: know what is measured.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from foundry.core.files import write_json
from foundry.train.device import hardware

RESULTS = Path("runs/benchmarks")


def in_turn(arms: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every arm once a round, the order reversed from round to round, so that drift hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for i in range(rounds):
        for name in list(arms) if i % 2 == 0 else list(arms)[::-1]:
            found[name].append(arms[name]())
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median over rounds of the ratio within a round."""
    return median([a / b for a, b in zip(over, under, strict=True)])


def machine(device: str = "cpu") -> dict[str, Any]:
    """What figures are only good for; the load tells whether the machine was busy with other things."""
    return {
        "hardware": hardware(device),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def report(name: str, document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], out: Path | None = None) -> None:
    """Write the document with its rows as JSON, and print the rows as a table. Every row has the first one's keys."""
    path = out or RESULTS / f"{name}.json"
    write_json(path, {"benchmark": name, **document, "rows": list(rows)})
    table = Table(title=f"{name} ({path})")
    for key in rows[0]:
        table.add_column(key, justify="left" if isinstance(rows[0][key], str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    Console(width=max(100, Console().width)).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value)


def half_width(differences: list[float]) -> float:
    """Of the 95% interval of a mean, by t; nan for a single value."""
    from scipy import stats

    n = len(differences)
    return float(stats.t.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)) if n > 1 else math.nan
