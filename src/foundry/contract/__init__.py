"""What every kind in every slot must keep, as functions `(slot, kind)` that raise ContractError naming the clause.
A clause's docstring says in its first line what holds, and behind `Hint:` how to mend a part that breaks it.

`CLAUSES` says which hold for which slot; tests run them over `slot.kinds()`, and `foundry check` over one file.
May not: know any kind by name but the plain ones that a part is tried with.
"""

from __future__ import annotations

from collections.abc import Iterator

from foundry.contract.clause import COMMON, Clause, ContractError
from foundry.core.slot import Slot
from foundry.core.slots import SLOTS


def clauses(slot: Slot) -> tuple[Clause, ...]:
    """Every clause that a kind of `slot` must keep, the cheapest first. Slots of other rooms have the common ones."""
    from foundry.contract import forward, training  # these import torch; listing clauses needn't

    return COMMON + forward.CLAUSES.get(slot.name, ()) + training.CLAUSES.get(slot.name, ())


def hint(clause: str) -> str:
    """How to mend a part that breaks the clause of this name; empty for what is no clause."""
    doc = next((each.__doc__ for slot in SLOTS for each in clauses(slot) if each.__name__ == clause), None)
    return " ".join((doc or "").partition("Hint:")[2].split())


def broken(slot: Slot, kind: str) -> Iterator[ContractError]:
    """Each clause that `kind` breaks. A part that raises breaks the clause in which it does."""
    for clause in clauses(slot):
        try:
            clause(slot, kind)
        except ContractError as error:
            yield error
        except Exception as error:  # the part's own code
            yield ContractError(clause.__name__, slot, kind, f"{type(error).__name__}: {error}")
