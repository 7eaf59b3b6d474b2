"""One picture to share: the champion's line with what it says in words. May not: be imported where matplotlib isn't."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.documents.page import Page

INK, SOFT, ACCENT, GREY, LINE = "#1b2430", "#5f6b7a", "#0b7a6f", "#9aa4b1", "#e3e5e1"
WIDTH_INCHES, HEIGHT_INCHES, DPI = 12.0, 6.3, 100
NAME = 64


def draw(page: Page, path: Path) -> None:
    """A PNG of 1,200 × 630 points. Raises RequestError without matplotlib, OSError where it can't be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        hint = "run `pip install 'foundry-train[plot]'`"
        raise RequestError("report.no_matplotlib", str(path), "a card needs matplotlib", hint=hint) from None
    figure: Any = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, facecolor="white")
    _words(figure, page)
    axis = figure.add_axes((0.07, 0.12, 0.88, 0.52))
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(LINE)
    axis.grid(axis="y", color=LINE, linewidth=0.8)
    axis.tick_params(colors=SOFT, labelsize=11, length=0)
    _line(axis, page)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=DPI)


def _words(figure: Any, page: Page) -> None:
    def text(x: float, y: float, words: str, size: float, **style: Any) -> None:
        figure.text(x, y, plain(words), size=size, parse_math=False, **{"color": INK, **style})

    champion, spent = page.champion, page.spent
    text(0.05, 0.925, "Foundry", 15, weight="bold")
    text(0.95, 0.925, page.campaign, 12, color=SOFT, ha="right")
    gain = champion.gain_bpb if champion else None
    bounds = champion.interval_bpb if champion else None
    if champion and gain is not None and bounds:
        text(0.05, 0.825, f"{gain:+.4f} bits per byte", 30, weight="bold", color=ACCENT)
        known = f"measured again on {champion.pairs} pairs of fresh runs"
        known = "of the pairs that decided, which flatter" if champion.flatters else known
        sure = f"95 %: {bounds[0]:+.4f} to {bounds[1]:+.4f}, {known}"
        text(0.05, 0.765, sure, 13, color=SOFT)
        text(0.05, 0.705, f"champion: {champion.name}"[: NAME + 20], 13)
    else:
        text(0.05, 0.825, "Nothing promoted yet", 30, weight="bold")
    cost = f"{spent.runs:,} runs, {si(spent.flops)}FLOP"
    promoted = f"{champion.promotions} promotions, " if champion else ""
    text(0.95, 0.825, promoted + cost, 13, color=SOFT, ha="right")


def _line(axis: Any, page: Page) -> None:
    stairs = [stair for stair in page.stairs if stair.bpb is not None]
    end = max([page.spent.flops, *(stair.flops for stair in stairs), 1.0])
    levels = [stair.bpb for stair in stairs if stair.bpb is not None]
    top = max(levels, default=_median(page.tried.bpb))
    low = min([*levels, *page.tried.bpb], default=0.0)
    room = max(top - low, 1e-4) * 0.1
    drawn = [(x, y) for x, y in zip(page.tried.flops, page.tried.bpb, strict=True) if y <= top + room]
    axis.scatter([x for x, _ in drawn], [y for _, y in drawn], s=9, color=GREY, alpha=0.5, linewidths=0)
    if stairs:
        xs = [*(stair.flops for stair in stairs), end]
        ends = [stair.interval_bpb or (0.0, 0.0) for stair in (*stairs, stairs[-1])]
        axis.fill_between(xs, [e[0] for e in ends], [e[1] for e in ends], step="post", color=ACCENT, alpha=0.15, lw=0)
        axis.step(xs, [*levels, levels[-1]], where="post", color=ACCENT, linewidth=2.6)
    axis.set_ylim(low - room, top + room)
    axis.set_xlim(0, end)
    axis.xaxis.set_major_formatter(lambda x, _: f"{si(x)}FLOP" if x else "0")
    axis.set_ylabel("bits per byte, lower is better", color=SOFT, fontsize=11)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 1.0


def si(value: float) -> str:
    """`1.84e14` as `184 T`."""
    for size, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} "


def plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
