"""The table of slots: THE place to add one. A slot is a line here and a folder of the same name; recipes, families,
contracts, `kinds` and `check` read this table. May not: import a part.

A slot that its section and the model don't know by name has a kind `plain`, which changes nothing, and kinds that say
by `join` what they do to a finished model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field, SerializeAsAny, create_model

from foundry.core.section import Section
from foundry.core.slot import PartConfig, Slot

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
    Slot("tokenizer", "data.tokenizer", "tok", "text to ids", folder="data/tokenizer", unnamed=("file",)),
)

_BY_NAME = {slot.name: slot for slot in SLOTS}


def slot_named(name: str) -> Slot:
    """The slot of the table that has this name. Raises KeyError."""
    return _BY_NAME[name]


S = TypeVar("S", bound=Section)


def with_slots(section: str) -> Callable[[type[S]], type[S]]:
    """A decorator of a section's config: gives it a field for each slot of the section that it doesn't write out."""

    def decorated(config: type[S]) -> type[S]:
        added = {slot.field_name: slot for slot in SLOTS if slot.section == section}
        fields: dict[str, Any] = {
            name: (Annotated[SerializeAsAny[PartConfig], slot.field()], Field("plain", validate_default=True))
            for name, slot in added.items()
            if name not in config.model_fields
        }
        if not fields:
            return config
        made = create_model(config.__name__, __base__=config, __module__=config.__module__, **fields)
        made.joined = tuple(fields)
        return made

    return decorated
