"""What is in the corpus: leaks, which must get no score, and honest models, which must get one. May not: import torch.

A leak is a file in `tests/cheats/leaks` or a class in its `attention.py`; an honest model is a combination of the
package's parts with those in `tests/cheats/zoo`. Host attacks, which go for the machine, are in `attacks.py`.
"""

from __future__ import annotations

import ast
import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "cheats"
ATTACKS = CORPUS / "attacks"
KINDS = "attention.py"

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


@cache
def workspace(corpus: str) -> Path:
    """The workspace of `leaks` or `zoo`: its files, and one for each kind in its `attention.py`. Gone with us."""
    folder, mine = Path(tempfile.mkdtemp(prefix=f"{corpus}-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder) if os.getpid() == mine else None)  # a forked child ends too
    shutil.copytree(CORPUS / corpus, folder, ignore=shutil.ignore_patterns(KINDS, "__pycache__"), dirs_exist_ok=True)
    for kind, source in kinds((CORPUS / corpus / KINDS).read_text()):
        file = folder / "modules" / "attention" / f"{kind}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return folder


def kinds(text: str) -> Iterator[tuple[str, str]]:
    """A workspace file for each class that nothing in the text is made of: all else in it, the class, and the class in
    the place of the one that `Config` builds."""
    tree = ast.parse(text)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bases = {base.id for one in classes for base in one.bases if isinstance(base, ast.Name)}
    leaves = [one for one in classes if one.name != "Config" and one.name not in bases]
    common = "\n\n".join(ast.get_source_segment(text, node) or "" for node in tree.body[1:] if node not in leaves)
    frame = next(one for one in classes if one.name in bases).name
    for one in leaves:
        doc, source = ast.get_docstring(one) or "", ast.get_source_segment(text, one)
        kind = re.sub("(?<!^)(?=[A-Z])", "_", one.name).lower()
        yield kind, f'"""{doc}"""\n\n{common}\n\n\n{source}\n\n\n{frame} = {one.name}\n'


def leaks() -> list[Entry]:
    """One for each kind; `model.py` is a whole-file model."""
    root = workspace("leaks")
    files = sorted(root.glob("modules/*/*.py"))
    parts = [Entry(f"{file.parent.name}:{file.stem}", root, {"layers": 1, **_slot(file)}) for file in files]
    whole = [Entry("model:copies", root, {"layers": 1, "code": "model"})]
    return parts + whole


def zoo() -> list[Entry]:
    """Every workspace part by itself, then what the package's own parts combine to."""
    root = workspace("zoo")
    files = sorted(root.glob("modules/*/*.py"))
    own = [Entry(f"{file.parent.name}:{file.stem}", root, _slot(file)) for file in files]
    return own + [Entry(name, root, model, train) for name, (model, train) in COMBINATIONS.items()]


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
