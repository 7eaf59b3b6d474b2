"""Every clause of the contract over every kind in every slot: a new file is tested on arrival."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foundry.contract import clauses
from foundry.contract.clause import REQUIRED, Clause
from foundry.core import slots
from foundry.core.slot import Slot
from foundry.modules import attention, loss, norm, optimizer, schedule, values

torch.set_num_threads(1)

SLOTS = tuple(slot for slot in slots.SLOTS if slot.name != "tokenizer")  # it has the common clauses alone
CASES = [(slot, kind, clause) for slot in SLOTS for kind in slot.kinds() for clause in clauses(slot)]
VARIANTS: list[tuple[Slot, str, dict[str, Any]]] = [
    (attention.SLOT, "gqa", {"heads": 4, "kv_heads": 2}),
    (attention.SLOT, "gqa", {"heads": 4, "kv_heads": 1}),
    (attention.SLOT, "sliding", {"heads": 4, "kv_heads": 2, "window": 3}),
    (attention.SLOT, "sliding", {"heads": 4, "window": 3, "full_every": 2}),
    (attention.SLOT, "gated", {"heads": 4, "kv_heads": 1}),
    (attention.SLOT, "mla", {"heads": 4, "latent": 5, "position_dim": 6}),
    (norm.SLOT, "rmsnorm", {"gain": False}),
    (norm.SLOT, "qknorm", {"gain": False}),
    (values.SLOT, "embeddings", {"every": 1}),
    (loss.SLOT, "focal", {"gamma": 0.5}),
    (optimizer.SLOT, "muon", {"lr": 0.02, "cautious": True, "weight_decay": 0.1}),
    (schedule.SLOT, "wsd", {"decay": 1.0, "floor": 0.5}),
]


@pytest.mark.parametrize(("slot", "kind", "clause"), CASES, ids=[f"{s.name}-{k}-{c.__name__}" for s, k, c in CASES])
def test_every_kind_keeps_every_clause(slot: Slot, kind: str, clause: Clause) -> None:
    clause(slot, kind)


@pytest.mark.parametrize(("slot", "kind", "fields"), VARIANTS, ids=[f"{k}-{f}" for _, k, f in VARIANTS])
def test_kinds_keep_every_clause_away_from_their_defaults(
    slot: Slot, kind: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REQUIRED, slot.name, fields)
    for clause in clauses(slot):
        clause(slot, kind)
