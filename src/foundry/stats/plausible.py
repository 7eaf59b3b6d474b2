"""Scores too good to be believed without a look: they are kept for a person, never promoted. May not: decide a leak."""

from __future__ import annotations

FLOOR_BPB = 0.3  # no language model is known to reach this on text that it has not seen
IMPLAUSIBLE_SHARE = 0.6  # of the reference's bits per byte


def quarantine(bpb: float, reference_bpb: float | None) -> str:
    """Why a person should look before this score is believed; empty when nothing is odd about it."""
    if bpb < FLOOR_BPB:
        return f"{bpb:.4f} bits per byte is below {FLOOR_BPB}, which no model is known to reach on unseen text"
    if reference_bpb is not None and bpb < IMPLAUSIBLE_SHARE * reference_bpb:
        return f"{bpb:.4f} bits per byte is below {IMPLAUSIBLE_SHARE} of the reference's {reference_bpb:.4f}"
    return ""
