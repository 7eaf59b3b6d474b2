"""Every clause of the contract over every kind in every slot: a new file is tested on arrival."""

from __future__ import annotations

import pytest

from foundry.core.slot import Slot
from foundry.modules import activation, attention, loss, norm, optimizer, position, residual, schedule, values
from foundry.modules.contract import Clause, clauses

SLOTS = tuple(
    slot.SLOT for slot in (attention, norm, activation, position, values, residual, loss, optimizer, schedule)
)
CASES = [(slot, kind, clause) for slot in SLOTS for kind in slot.kinds() for clause in clauses(slot)]


@pytest.mark.parametrize(("slot", "kind", "clause"), CASES, ids=[f"{s.name}-{k}-{c.__name__}" for s, k, c in CASES])
def test_every_kind_keeps_every_clause(slot: Slot, kind: str, clause: Clause) -> None:
    clause(slot, kind)
