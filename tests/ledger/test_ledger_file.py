"""What the ledger promises when its file is damaged, foreign, newer, unwritable or out of space: one line, no loss."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.core.errors import WorkError
from foundry.ledger.file import LedgerFile
from foundry.ledger.ledger import Ledger
from foundry.ledger.schema import VERSION
from tests.ledger.plain import HERE, a_recipe, a_run


def filled(path: Path) -> bytes:
    with Ledger.open(path) as ledger:
        a_run(ledger)
    return path.read_bytes()


def test_opening_makes_the_ledger_and_opening_again_keeps_it(path: Path) -> None:
    with Ledger.open(path) as ledger:
        run = a_run(ledger)
        modes = [ledger._file.row(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert [list(mode.values()) for mode in modes if mode] == [["wal"], [2], [1]]
    with Ledger.open(path) as ledger:
        assert ledger.runs.get(run)["status"] == "queued"


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all, whatever its name" * 200)


def damage_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:2048] + b"\xff" * (len(content) - 2048))


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def make_foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos(id)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (damage_header, "ledger.not_a_database"),
        (damage_pages, "ledger.corrupt"),
        (make_newer, "ledger.newer"),
        (make_foreign, "ledger.not_a_database"),
    ],
)
def test_a_file_that_isnt_our_ledger_is_refused_in_one_line_and_left_as_it_is(
    path: Path, spoil: Callable[[Path], None], code: str
) -> None:
    filled(path)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(WorkError) as caught, Ledger.open(path) as ledger:
        a_run(ledger, seed=2)
    assert caught.value.code == code and caught.value.hint and "\n" not in str(caught.value)
    with pytest.raises(WorkError):
        file = LedgerFile.open_to_read(path)
        assert file is not None
        file.rows("SELECT * FROM runs")
    assert path.read_bytes() == before


def test_a_folder_that_cant_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(WorkError, match=r"ledger\.unwritable"):
        Ledger.open(tmp_path / "runs" / "ledger.db")


def test_a_ledger_that_may_not_be_written_is_read_and_says_so_when_written(path: Path) -> None:
    filled(path)
    file = LedgerFile.open_to_read(path)
    assert file is not None and len(file.rows("SELECT * FROM runs")) == 1
    with pytest.raises(WorkError, match=r"ledger\.unwritable"), file.writing() as write:
        write.execute("DELETE FROM runs")
    file.close()


def test_reading_where_there_is_no_ledger_makes_none(path: Path) -> None:
    assert LedgerFile.open_to_read(path) is None and not path.parent.exists()


def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(ledger: Ledger) -> None:
    run = a_run(ledger)
    pages = ledger._file.row("PRAGMA page_count")
    assert pages is not None
    ledger._file.row(f"PRAGMA max_page_count = {pages['page_count']}")  # no page more: what SQLite says at ENOSPC
    with pytest.raises(WorkError, match=r"ledger\.full.*free some space"):
        for i in range(1000):
            a_recipe(ledger, i=i, filler="x" * 1000)
    assert ledger.runs.get(run)["status"] == "queued"
    ledger._file.row("PRAGMA max_page_count = 1000000")
    a_recipe(ledger, after="space was made")  # the same connection goes on


def test_a_write_that_the_system_cuts_short_leaves_the_ledger_whole(path: Path) -> None:
    filled(path)
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\n"
        "from plain import a_recipe\nfrom foundry.core.errors import WorkError\n"
        "from foundry.ledger.ledger import Ledger\nledger = Ledger.open(Path(sys.argv[1]))\ntry:\n"
        "    for i in range(10000):\n        a_recipe(ledger, i=i, filler='x' * 5000)\n        print(i, flush=True)\n"
        "except WorkError as error:\n    print(error.code)\n"
    )

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], preexec_fn=limit_file_size, capture_output=True, text=True
    )
    *kept, code = done.stdout.split()
    assert code in ("ledger.io", "ledger.full"), done.stderr
    with Ledger.open(path) as ledger:
        count = ledger._file.row("SELECT count(*) AS n FROM recipes")
        assert count == {"n": 1 + len(kept)}  # every write that had returned, and no other
        assert ledger._file.row("PRAGMA integrity_check") == {"integrity_check": "ok"}
        a_recipe(ledger, after="the limit is gone")


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_had_returned(path: Path) -> None:
    filled(path)
    script = (
        f"import os, sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\n"
        "from plain import a_run\nfrom foundry.ledger.ledger import Ledger\n"
        "ledger = Ledger.open(Path(sys.argv[1]))\nfor seed in range(100, 10000):\n"
        "    print(a_run(ledger, seed), flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    returned = [writer.stdout.readline().strip() for _ in range(50)]
    os.kill(writer.pid, 9)
    returned += [line.strip() for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    with Ledger.open(path) as ledger:
        for run in returned:
            assert ledger.runs.get(run)["status"] == "queued"


def test_a_reader_sees_what_a_killed_writer_had_recorded(path: Path) -> None:
    script = (
        f"import os, sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\n"
        "from plain import a_run\nfrom foundry.ledger.ledger import Ledger\n"
        "ledger = Ledger.open(Path(sys.argv[1])); a_run(ledger); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)])
    assert path.with_name("ledger.db-wal").stat().st_size > 0
    file = LedgerFile.open_to_read(path)
    assert file is not None and len(file.rows("SELECT * FROM runs")) == 1
    file.close()


def test_what_is_raised_in_a_transaction_undoes_it(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger._file.writing() as write:
        write.execute("INSERT INTO settings VALUES ('a', '1')")
        raise KeyError("stop")
    assert ledger.setting("a") is None


def test_a_ledger_that_is_taken_away_while_it_is_in_use_records_nothing_more(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.keep_setting("before", 1)
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(WorkError, match=r"ledger\.vanished") as caught:
            ledger.keep_setting("after", 2)
        assert caught.value.exit_code == 1
        path.write_bytes(b"")  # another file in its place is no better
        with pytest.raises(WorkError, match=r"ledger\.vanished"):
            ledger.keep_setting("after", 2)
        path.unlink()
        (tmp_path / "elsewhere.db").rename(path)
        assert ledger.setting("after") is None
        ledger.keep_setting("after", 3)
    with Ledger.open(path) as ledger:
        assert (ledger.setting("before"), ledger.setting("after")) == (1, 3)


@pytest.mark.parametrize("left", ["marker", "run folder"])
@pytest.mark.parametrize("ledger_is", ["gone", "empty"])
def test_a_lost_ledger_is_not_begun_anew_in_silence(path: Path, left: str, ledger_is: str) -> None:
    Ledger.open(path).close()
    for file in path.parent.glob("ledger.db*"):
        file.unlink()
    if left == "run folder":
        path.with_name("ledger.id").unlink()
        (path.parent / "abc").mkdir()
        (path.parent / "abc" / "recipe.yaml").touch()
    if ledger_is == "empty":
        path.touch()
    for opening in (Ledger.open, LedgerFile.open_to_read):
        with pytest.raises(WorkError, match=r"ledger\.missing.*start anew"):
            opening(path)
    assert path.exists() == (ledger_is == "empty"), "nothing was made in its place"
    path.parent.rename(path.parent.with_name("moved away"))
    Ledger.open(path).close()


def test_where_there_never_was_a_ledger_one_is_begun_and_looking_makes_none(path: Path) -> None:
    assert LedgerFile.open_to_read(path) is None
    Ledger.open(path).close()
    path.with_name("ledger.id").unlink()  # as of a time that had no marker
    Ledger.open(path).close()
    assert path.with_name("ledger.id").exists()
