"""What is in the corpus: leaks, which must get no score, and honest models, which must get one. May not: import torch.

A leak is a file in `tests/cheats/leaks`, an honest model a combination of the package's parts with files in
`tests/cheats/zoo`. Host attacks, which go for the machine and not for the future, are in `attacks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "cheats"
LEAKS, ZOO, ATTACKS = CORPUS / "leaks", CORPUS / "zoo", CORPUS / "attacks"

PLAIN: dict[str, Any] = {
    "layers": 2,
    "width": 32,
    "context": 32,
    "attention": {"kind": "gqa", "heads": 4, "kv_heads": 4},
    "norm": "rmsnorm",
    "activation": "gelu",
    "position": "learned",
    "init_std": 0.1,
}
"""Small, and with logits that are large enough at the start for a leak to show in a plain evaluation."""


@dataclass(frozen=True)
class Entry:
    """A model section beside `PLAIN`, and what to change in its training."""

    name: str
    workspace: Path
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> dict[str, Any]:
        return {**PLAIN, **self.model}


def leaks() -> list[Entry]:
    """One for each file; `model.py` is a whole-file model."""
    files = sorted(LEAKS.glob("modules/*/*.py"))
    parts = [Entry(f"{file.parent.name}:{file.stem}", LEAKS, {"layers": 1, **_slot(file)}) for file in files]
    whole = [Entry("model:copies", LEAKS, {"layers": 1, "code": "model"})]
    return parts + whole


def zoo() -> list[Entry]:
    """Every workspace part by itself, then what the package's own parts combine to."""
    files = sorted(ZOO.glob("modules/*/*.py"))
    own = [Entry(f"{file.parent.name}:{file.stem}", ZOO, _slot(file)) for file in files]
    return own + [Entry(name, ZOO, model, train) for name, (model, train) in COMBINATIONS.items()]


def _slot(file: Path) -> dict[str, Any]:
    if file.parent.name == "attention":
        return {"attention": {"kind": file.stem, "heads": 4}}
    return {file.parent.name: {"kind": file.stem}}


COMBINATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the classic": ({}, {}),
    "rope, swiglu, one key head": (
        {"attention": {"kind": "gqa", "heads": 4, "kv_heads": 1}, "position": "rope", "activation": "swiglu"},
        {},
    ),
    "alibi, layernorm, glu": ({"position": "alibi", "norm": "layernorm", "activation": "glu"}, {}),
    "latent attention, qknorm": ({"attention": {"kind": "mla", "heads": 4}, "position": "rope", "norm": "qknorm"}, {}),
    "sliding window, rope": (
        {"attention": {"kind": "sliding", "heads": 4, "window": 8, "full_every": 2}, "position": "rope"},
        {},
    ),
    "sliding window, alibi": ({"attention": {"kind": "sliding", "heads": 4, "window": 8}, "position": "alibi"}, {}),
    "gated attention, dynamic tanh": ({"attention": {"kind": "gated", "heads": 4}, "norm": "dynamic"}, {}),
    "no positions, squared relu": ({"position": "none", "activation": "relu2"}, {}),
    "no norm": ({"norm": "none"}, {"grad_clip": 0.5}),
    "value embeddings, residual start": ({"values": "embeddings", "residual": "start"}, {}),
    "value residual, layer scale": ({"values": "residual", "residual": "layerscale"}, {}),
    "depth-scaled residual, softcap, untied": ({"residual": "depth", "softcap": 15.0, "tied": False}, {}),
    "untied head from zero": ({"tied": False, "head_init": "zero", "out_init": "zero"}, {}),
    "trained with dropout": ({"dropout": 0.2}, {}),
    "trained with Muon": ({"position": "rope"}, {"optimizer": {"kind": "muon", "lr": 0.02}}),
    "trained with Lion": ({}, {"optimizer": {"kind": "lion", "lr": 0.001}}),
    "trained with focal loss, averaged": ({}, {"loss": "focal", "ema": 0.9}),
    "trained with smoothed labels": ({"softcap": 30.0}, {"loss": "label_smoothing"}),
    "convolution with rope and routed experts": (
        {"attention": {"kind": "causal_convolution", "heads": 4}, "activation": "routed_experts"},
        {},
    ),
    "retention, gated residual, group norm": (
        {"attention": {"kind": "retention", "heads": 4}, "residual": "gated", "norm": "group_norm"},
        {},
    ),
}
