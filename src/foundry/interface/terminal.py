"""The one way to a person's terminal: text from anywhere is shown and never obeyed, as markup or as control characters;
a stream that is lost, full or of a small alphabet ends nothing. May not: decide what is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from foundry.core.files import as_document
from foundry.documents.document import Document

NARROW = 60
"""Columns of a terminal below which a table that doesn't fit is told row by row."""
WIDEST = 10_000
"""Columns of a file's lines."""
WHOLE = ("run", "seed", "status")
"""Columns whose cells are never broken: ids are copied from there. So are numbers'."""
MOST_BROKEN = 8
"""Columns of the terminal in which words may have to do."""
NUMERIC = ("bits", "bpb", "gain", "tokens", "seconds", "FLOP", "train loss")


def shown(text: str) -> str:
    """`text` with what a terminal would obey (control characters, direction marks) written out as \\u…."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)


class PlainConsole(Console):
    """Prints every string as it is: no markup, no emoji codes, nothing that a terminal obeys."""

    def __init__(self, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=not stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text), **options)


console = PlainConsole()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; where it doesn't fit words are wrapped, but no id and no number, and where that isn't enough each row is
    told by itself."""
    made = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.startswith(NUMERIC)
        whole = numeric or column in WHOLE
        made.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        made.add_row(*row)
    narrowest = sum(_narrowest(console, each) for each in made.columns) + 3 * (len(columns) - 1)
    wide = Measurement.get(console, console.options.update(width=WIDEST), made).maximum
    if not (console.is_terminal or "COLUMNS" in os.environ):  # a file or a pipe has no width
        return PlainConsole(width=wide).print(made)
    if wide <= console.width or (console.width >= NARROW and narrowest <= console.width):
        return console.print(made, width=console.width, soft_wrap=False)
    if title:
        console.print(title)
    for row in rows:
        console.print(
            "\n".join(f"{name}: {cell}" if name else cell for name, cell in zip(columns, row, strict=True) if cell)
        )
        console.print()
    return None


def _narrowest(console: Console, column: Column) -> int:
    """Columns of the terminal that one of a table takes at least."""
    cells = [Measurement.get(console, console.options, cell).maximum for cell in (column.header, *column.cells)]
    return max(cells) if column.no_wrap else min(MOST_BROKEN, max(cells))


def emit(document: Document) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(as_document(document.to_dict()), indent=2, allow_nan=False) + "\n")


class Stream:
    """A stream that keeps what happens to it to itself: once it can't be written to, what is written goes nowhere."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self.lost = stream, ""

    def write(self, text: str) -> int:
        with self._lossy():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._lossy():
            self._stream.flush()

    @contextlib.contextmanager
    def _lossy(self) -> Iterator[None]:
        if self.lost:
            return (yield)
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self.lost = getattr(error, "strerror", None) or str(error)
            with contextlib.suppress(OSError, ValueError):  # what is in its buffer would fail again at the very end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
                self._stream.flush()
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[Stream]:
    """stdout (given) and stderr as streams that end nothing; also where the process was started without them."""
    before = sys.stdout, sys.stderr
    for number in (0, 1, 2):  # or else a file that is opened later gets the number, and is printed into
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    with open(os.devnull, "w") as nowhere:
        out, err = (Stream(stream or nowhere) for stream in before)
        sys.stdout, sys.stderr = cast(Any, out), cast(Any, err)
        try:
            yield out
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before
