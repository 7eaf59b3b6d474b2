"""The table of slots: THE place to add one. A slot is a line here and a folder of the same name; recipes, families,
contracts, `kinds` and `check` read this table. May not: import a part.
"""

from __future__ import annotations

from foundry.core.slot import Slot

SLOTS: tuple[Slot, ...] = (
    Slot("attention", "model.attention", "attn", "how tokens meet"),
    Slot("norm", "model.norm", "norm", "what keeps activations in scale"),
    Slot("activation", "model.activation", "act", "the feed-forward block"),
    Slot("position", "model.position", "pos", "how a token knows where it stands"),
    Slot("values", "model.values", "val", "what flows into attention's values"),
    Slot("residual", "model.residual", "res", "how a branch joins the stream"),
    Slot("loss", "train.loss", "loss", "what training minimises; the judge scores by cross-entropy"),
    Slot("optimizer", "train.optimizer", "opt", "from gradients to steps"),
    Slot("schedule", "train.schedule", "sched", "the learning rate's course"),
    Slot("tokenizer", "data.tokenizer", "tok", "text to ids", folder="data/tokenizer"),
)

_BY_NAME = {slot.name: slot for slot in SLOTS}


def slot_named(name: str) -> Slot:
    """The slot of the table that has this name. Raises KeyError."""
    return _BY_NAME[name]
