"""The pictures of simulate.py and real.py: matplotlib, imported here only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def campaigns(rows: list[dict[str, Any]], q: float, path: Path) -> None:
    """E[sup FDP] of each rule on no-ops under each noise, against q."""
    no_ops = [row for row in rows if row["proposer"] == "no-ops"]
    kinds = list(dict.fromkeys(row["noise"] for row in no_ops))
    names = list(dict.fromkeys(row["rule"] for row in no_ops))
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.6))
    for place, key, label in ((0, "sup_fdp", "E[sup FDP]"), (1, "false_per_campaign", "false promotions a campaign")):
        for offset, name in enumerate(names):
            values = [row[key] for row in no_ops if row["rule"] == name]
            spots = [i + 0.1 * (offset - len(names) / 2) for i in range(len(kinds))]
            axes[place].bar(spots, values, width=0.09, label=name)
        axes[place].set_xticks(range(len(kinds)), kinds, rotation=20)
        axes[place].set_ylabel(f"{label}, {no_ops[0]['tests']} no-op candidates")
    axes[0].axhline(q, color="black", linewidth=1, linestyle="--")
    axes[1].set_yscale("log")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="upper center", ncols=len(names), fontsize=8)
    _save(figure, path, top=0.92)


def power(tables: list[dict[str, Any]], required: dict[float, float], path: Path) -> None:
    """Power curves, one panel for each α; the points are what was asked for at α = 0.01."""
    figure, axes = plt.subplots(1, len(tables), figsize=(6 * len(tables), 4.2), squeeze=False)
    for axis, table in zip(axes[0], tables, strict=True):
        for name, curve in table["curves"].items():
            style = {"w": "-", "t": "--", "u": ":"}[name[0]]
            axis.plot(table["effects"], curve["power"], style, label=name)
        if table["alpha"] == 0.01:
            axis.plot(list(required), list(required.values()), "k^", label="required")
        axis.axhline(table["alpha"], color="grey", linewidth=0.5)
        axis.set_title(f"α = {table['alpha']}, at most {table['pairs']} pairs")
        axis.set_xlabel("effect, standard deviations of a paired difference")
        axis.set_ylabel("chance of promotion")
        axis.legend(fontsize=7)
    _save(figure, path)


def replays(tables: list[dict[str, Any]], path: Path) -> None:
    """False promotions of no-ops replayed from recorded runs, with 95 % intervals, against α."""
    figure, axis = plt.subplots(figsize=(7, 4))
    labels = []
    for i, row in enumerate(tables):
        low, high = row["interval"]
        axis.plot([i, i], [low, high], "k-")
        axis.plot([i], [row["rate"]], "o")
        axis.plot([i - 0.3, i + 0.3], [row["alpha"]] * 2, "r--")
        labels.append(f"{row['rule']}\nα = {row['alpha']}")
    axis.set_xticks(range(len(tables)), labels, fontsize=7)
    axis.set_ylabel("false promotions of no-ops")
    _save(figure, path)


def _save(figure: Any, path: Path, top: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, top))
    figure.savefig(path, dpi=110)
    plt.close(figure)
