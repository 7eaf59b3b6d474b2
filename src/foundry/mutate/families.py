"""The table of families: THE place to add a mutation. One line here is a family or a named variant.

A new kind of part needs no line: a file in its slot's folder (`modules/attention/mine.py`, in the package or in the
workspace) is a variant of the slot's family as it stands, `attention:mine`.
"""

from __future__ import annotations

from foundry.core.slots import SLOTS
from foundry.mutate.family import (
    Family,
    NumberFamily,
    PairFamily,
    PartFamily,
    Preset,
    SetFamily,
    SettingFamily,
    Values,
    WidthFamily,
    scaled,
)


def _kv_heads(count: int) -> Preset:
    what = f"grouped-query attention, {count} key/value head{'s' * (count > 1)} for all query heads"
    return Preset("gqa", what, lambda part: {"heads": part["heads"], "kv_heads": count})


def _mha(part: Values) -> Values:
    return {"heads": part["heads"], "kv_heads": part["heads"]}


def _adamw_lr(part: Values) -> float:
    """The rate that AdamW would have in this optimizer's place; Lion's is a fifth (Chen et al. 2023)."""
    own = {"muon": part.get("adam_lr"), "normuon": part.get("adam_lr"), "lion": scaled(part["lr"], 5)}
    return own.get(part["kind"]) or part["lr"]


def _as_adamw(kind: str, what: str) -> Preset:
    return Preset(kind, f"{what}, at AdamW's rate", lambda part: {"lr": _adamw_lr(part)})


def _by_matrix(kind: str, what: str) -> Preset:
    what = f"{what} at rate 0.02 for matrices, AdamW at its old rate for the rest"
    return Preset(kind, what, lambda part: {"lr": 0.02, "adam_lr": _adamw_lr(part)})


PRESETS: dict[str, dict[str, Preset]] = {
    "attention": {
        "gqa_2kv": _kv_heads(2),
        "gqa_1kv": _kv_heads(1),
        "mha": Preset("gqa", "multi-head attention: a key/value head for each query head", _mha),
    },
    "optimizer": {
        "adamw": Preset("adamw", "AdamW; from Lion at 5 times its rate", lambda part: {"lr": _adamw_lr(part)}),
        "lion": Preset("lion", "Lion, at a fifth of AdamW's rate", lambda part: {"lr": scaled(_adamw_lr(part), 0.2)}),
        "muon": _by_matrix("muon", "Muon"),
        "normuon": _by_matrix("normuon", "NorMuon"),
        "cautious_adamw": _as_adamw("cautious_adamw", "Cautious AdamW"),
        "adam_mini": _as_adamw("adam_mini", "Adam-mini"),
        "adopt": _as_adamw("adopt", "ADOPT"),
        "soap": _as_adamw("soap", "SOAP"),
    },
    "position": {
        "rope_1024": Preset(
            "partial_rope",
            "rope on half of the channels, and no pair slower than base 1,024 (Jordan et al. 2024, modded-nanogpt)",
            lambda part: {"share": 0.5, "base": 1024.0},
        ),
    },
    "tokenizer": {"bpe_512": Preset("bpe", "byte-pair encoding with 512 ids", lambda part: {"vocab_size": 512})},
}
"""Slot → its variants besides the kinds that it has."""

PARTS = tuple(PartFamily(slot.name, slot.short, slot.what, slot, PRESETS.get(slot.name, {})) for slot in SLOTS)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        *PARTS,
        NumberFamily("depth", "depth", "number of layers", "model.layers", ("2", "3", "4", "6", "8")),
        WidthFamily("width", "width", "channels of the residual stream", ("64", "96", "128", "192", "256")),
        NumberFamily(
            "lr", "lr", "peak learning rate", "train.optimizer.lr", ("3e-4", "6e-4", "1e-3", "2e-3", "4e-3", "8e-3")
        ),
        NumberFamily(
            "batch_size", "bs", "sequences a step", "train.batch_size", ("4", "6", "8", "12", "16", "24", "48")
        ),
        NumberFamily(
            "warmup",
            "warmup",
            "share of the steps that warm up",
            "train.schedule.warmup",
            ("0", "0.02", "0.05", "0.1", "0.2"),
        ),
        NumberFamily(
            "grad_clip",
            "clip",
            "largest gradient norm; 0 for none",
            "train.grad_clip",
            ("0", "0.25", "0.5", "1.0", "2.0"),
        ),
        NumberFamily(
            "weight_decay", "wd", "weight decay", "train.optimizer.weight_decay", ("0", "0.01", "0.03", "0.1", "0.3")
        ),
        PairFamily(
            "adam_betas",
            "betas",
            "Adam's averaging of gradients and of their squares",
            ("train.optimizer.betas", "train.optimizer.adam_betas"),
            ("0.9,0.95", "0.9,0.99", "0.9,0.999", "0.8,0.95", "0.95,0.99"),
        ),
        SettingFamily(
            "data",
            "data",
            "which training documents are kept; what is judged stays",
            {
                "dedupe": ("exact duplicates dropped", {"data.filter.dedupe": True}),
                "keep_duplicates": ("exact duplicates kept", {"data.filter.dedupe": False}),
                "drop_short": ("documents under 16 KiB dropped", {"data.filter.min_bytes": 16384}),
                "drop_long": ("documents over 128 KiB dropped", {"data.filter.max_bytes": 131072}),
                "all_lengths": (
                    "short and long documents kept",
                    {"data.filter.min_bytes": 0, "data.filter.max_bytes": 0},
                ),
            },
            {"min_bytes": "data.filter.min_bytes", "max_bytes": "data.filter.max_bytes"},
        ),
        NumberFamily(
            "ema", "ema", "decay a step of averaged weights; 0 for none", "train.ema", ("0", "0.9", "0.95", "0.99")
        ),
        NumberFamily("dropout", "drop", "share of activations dropped", "model.dropout", ("0", "0.05", "0.1", "0.2")),
        NumberFamily("softcap", "cap", "bound that logits are bent to; 0 for none", "model.softcap", ("0", "15", "30")),
        SettingFamily(
            "head",
            "head",
            "the output matrix",
            {
                "tied": (
                    "the token embedding is the head (Press & Wolf 2017)",
                    {"model.tied": True, "model.head_init": "plain"},
                ),
                "untied": ("a head of its own", {"model.tied": False, "model.head_init": "plain"}),
                "untied_zero": (
                    "a head of its own that starts at zero",
                    {"model.tied": False, "model.head_init": "zero"},
                ),
            },
        ),
        SettingFamily(
            "init",
            "init",
            "how matrices that write into the stream start",
            {
                "scaled": ("smaller with depth, as in GPT-2 (Radford et al. 2019)", {"model.out_init": "scaled"}),
                "plain": ("as other matrices do", {"model.out_init": "plain"}),
                "zero": ("at zero: each layer starts as the identity", {"model.out_init": "zero"}),
            },
        ),
        SetFamily("set", "set", "any field of the recipe", PARTS),
    )
}
