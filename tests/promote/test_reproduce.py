"""What `reproduce` says when it can't: nothing is trained on other text, and the record stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.core.errors import FoundryError
from foundry.execute.result import Silent
from foundry.execute.scheduler import Scheduler
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.promote.reproduce import reproduce
from soak.endless import climb
from soak.lab import BASELINE
from tests.home import write_tiny

TEXT = Path("text.txt")
LINES = "".join(f"line {i} of a text, {i * i % 97}\n" for i in range(4000))


def other_judged_text() -> None:
    with Ledger.open() as ledger, ledger._file.writing() as write:  # pyright: ignore[reportPrivateUsage]
        write.execute("UPDATE runs SET judged_hash = ?", ("f" * 32,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: None, "it trains"),
        (lambda: TEXT.write_text(LINES + "a line more\n"), r"reproduce\.other_data.*the text to train on is"),
        (other_judged_text, r"reproduce\.other_data.*the text to judge by is \w{12} here and was ffffffffffff"),
        (TEXT.unlink, r"data\.no_files"),
    ],
)
def test_on_another_text_nothing_is_reproduced(
    home: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], said: str
) -> None:
    def trains(*asked: object) -> None:
        pytest.fail("it trains")

    TEXT.write_text(LINES)
    write_tiny(BASELINE, data__source=f"file:{TEXT}")
    climb(1)
    change()
    monkeypatch.setattr(Scheduler, "gather", trains)
    record = hashlib.sha256(Path("runs/ledger.db").read_bytes()).digest()
    files = set(Path("runs").rglob("*"))
    with pytest.raises((FoundryError, pytest.fail.Exception), match=said):
        reproduce(queries.lineage(str(BASELINE))[-1]["promotion"], 1, 1, "cpu", Silent(), lambda line: None)
    assert hashlib.sha256(Path("runs/ledger.db").read_bytes()).digest() == record
    assert {path for path in Path("runs").rglob("*") if "ledger" not in path.name} <= files, "nothing is left behind"
