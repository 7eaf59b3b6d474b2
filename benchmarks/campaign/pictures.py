"""The picture of replay.py: matplotlib, imported here only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def curves(document: dict[str, Any], path: Path) -> None:
    """The median true curve of each method where there is something to gain, and false promotions where not."""
    figure, axes = plt.subplots(1, 3, figsize=(17, 5))
    for axis, scenario in zip(axes[:2], ("far", "near"), strict=True):
        for name, found in document["scenarios"][scenario]["methods"].items():
            ours = name.startswith("Foundry")
            costs = [found["horizon"] * i / (len(found["curve"]) - 1) for i in range(len(found["curve"]))]
            style = {"linewidth": 2.6 if ours else 1.2, "linestyle": "--" if "again" in name else "-"}
            axis.plot(costs, found["curve"], label=name, **style)
        axis.axhline(0.9, color="grey", linewidth=0.5)
        axis.set_ylim(-0.25, 1.05)
        axis.set_title(f"{scenario}: from {document['scenarios'][scenario]['start_at'] or 'tiny.yaml'}", fontsize=9)
        axis.set_xlabel("full runs")
    axes[0].set_ylabel("true gain of the incumbent, share of the best (median replay)")
    axes[1].legend(fontsize=7)
    flat = document["scenarios"]["flat"]["methods"]
    axes[2].barh(list(flat), [found["false_promotions"]["mean"] for found in flat.values()])
    axes[2].invert_yaxis()
    axes[2].set_xscale("symlog", linthresh=0.1)
    axes[2].set_title("flat: false promotions a campaign", fontsize=9)
    axes[2].tick_params(axis="y", labelsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
