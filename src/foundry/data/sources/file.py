"""Text in files: a file, a folder or a glob of .txt .md .py .jsonl .parquet, plain or as .gz or .zst.

A text file is one document; a line of .jsonl and a row of .parquet are one each. May not: guess an encoding; text is
UTF-8, a mark of it at the start left out.
"""

from __future__ import annotations

import codecs
import contextlib
import glob
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, final

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.data.sources import Document, Reader, Source, parquet
from foundry.data.sources.compressed import SUFFIXES, opened

TEXT = (".txt", ".md", ".py")
FORMATS = (*TEXT, ".jsonl", ".parquet")
LONGEST_LINE_BYTES = 64 << 20
"""Of jsonl; a longer line is no document, and is never in memory as a whole."""

_TO_JSONL = (
    "make it jsonl, and name the column in data.reading.field: python -c "
    """"import csv, json; [print(json.dumps(row)) for row in csv.DictReader(open('{name}'))]" > {name}.jsonl"""
)
MENDS = {
    ".csv": _TO_JSONL,
    ".tsv": _TO_JSONL.replace("'))", "'), delimiter='\\t')"),
    ".json": "did you mean '.jsonl'? an array becomes it with: jq -c '.[]' {name}",
    **dict.fromkeys((".bz2", ".xz", ".zip", ".7z", ".tar"), "unpack it, or pack its files with gzip or zstd"),
    **dict.fromkeys((".html", ".pdf", ".docx", ".epub"), "take its text out into a .txt file"),
}
"""Suffix → what to do with a file that isn't read."""


@final
class Files(Source):
    def __init__(self, path: str) -> None:
        self.path = path

    def stamp(self) -> dict[str, Any]:
        """Path (folders resolved), size and mtime of each file. Blind to a change that keeps both, as `make` is."""
        stamp = {}
        for path in self._paths():
            with _explained(path):
                fact = path.stat()
                stamp[str(path.parent.resolve() / path.name)] = [fact.st_size, fact.st_mtime_ns]
        return stamp

    def files(self) -> list[Path]:
        return self._paths()

    def documents(self, reader: Reader) -> Iterator[Document]:
        for path in self._paths():
            with _explained(path):
                yield from _READERS[_format(path)](path, reader)

    def _paths(self) -> list[Path]:
        """The files, sorted; in a folder, what is hidden or in another format is passed over."""
        try:
            root = places.root() / Path(self.path).expanduser()
        except RuntimeError:
            message = f"nobody knows what home is in {self.path}"
            raise RequestError("data.no_home", "data.source", message, hint="write the path in full") from None
        if root.is_file():
            if not _format(root):
                raise _unknown_format(root)
            return [root]
        if root.is_dir():
            found = [path for path in root.rglob("*") if not _hidden(path.relative_to(root))]
        else:
            found = [Path(path) for path in glob.glob(str(root), recursive=True)]
        files = sorted(path for path in found if path.is_file())
        paths = [path for path in files if _format(path)]
        if files and not paths:
            raise _unknown_format(files[0])
        if not paths:
            message = f"no files in {self.path}" if root.is_dir() else f"no such file, folder or glob: {self.path}"
            raise RequestError("data.no_files", "data.source", message, hint=f"files end in {', '.join(FORMATS)}")
        return paths


def _unknown_format(path: Path) -> RequestError:
    suffix, message = path.suffix.lower(), f"{path.name} is in no format that Foundry reads"
    hint = MENDS.get(suffix, "").replace("{name}", path.name)
    return RequestError("data.unknown_format", "data.source", message, got=suffix, choices=FORMATS, hint=hint)


def _format(path: Path) -> str:
    """`.jsonl` for a.jsonl and a.jsonl.gz; nothing for what Foundry doesn't read."""
    name = path.name.lower()
    for suffix in FORMATS:
        if any(name.endswith(suffix + packed) for packed in (SUFFIXES if suffix != ".parquet" else ("",))):
            return suffix
    return ""


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _text(path: Path, reader: Reader) -> Iterator[Document]:
    with opened(path) as file:
        data = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        message = "UTF-16" if wide else f"not UTF-8 at byte {error.start}"
        reader.refuse("data.not_utf8", str(path), f"{message}; iconv converts it")
        return
    yield from reader.document(path.name, str(path), text)


def _jsonl(path: Path, reader: Reader) -> Iterator[Document]:
    field = reader.reading.field
    with opened(path) as file:
        for number, line in enumerate(_lines(file), 1):
            place = f"{path}:{number}"
            if line is None:
                reader.refuse("data.bad_json", place, f"a line of more than {LONGEST_LINE_BYTES >> 20} MiB")
                continue
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode())
            except UnicodeDecodeError as error:
                reader.refuse("data.not_utf8", place, f"not UTF-8 at byte {error.start} of the line")
                continue
            except (ValueError, RecursionError) as error:
                deep = isinstance(error, RecursionError)
                reader.refuse("data.bad_json", place, "nested too deeply to be read" if deep else str(error))
                continue
            if not isinstance(value, dict) or field not in value:
                keys = list(value) if isinstance(value, dict) else ()
                reader.refuse("data.no_text", place, f"no field '{field}'", got=field, choices=keys)
                continue
            yield from reader.document(f"{path.name}:{number}", place, value[field])


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """The lines; None for one that is too long."""
    while line := file.readline(LONGEST_LINE_BYTES):
        if len(line) < LONGEST_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(LONGEST_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None


_READERS = {**dict.fromkeys(TEXT, _text), ".jsonl": _jsonl, ".parquet": parquet.rows}


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What goes wrong in reading `path`, as one line that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:  # gzip's own errors are among these
        raise RequestError("data.unreadable", str(path), str(error)) from None
