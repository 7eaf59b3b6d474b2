"""Text in files: a file, a folder or a glob of .txt .md .py .jsonl .parquet, plain or as .gz or .zst.

A text file is one document; a line of .jsonl and a row of .parquet are one each, in their field `text`.
May not: guess an encoding; text is UTF-8, and its line ends stay as they are.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, final

from foundry.core.errors import RequestError
from foundry.data.sources import Document, Source

TEXT = (".txt", ".md", ".py")
FORMATS = (*TEXT, ".jsonl", ".parquet")
COMPRESSED = ("", ".gz", ".zst")
FIELD = "text"


@final
class Files(Source):
    def __init__(self, path: str) -> None:
        self.path = path

    def stamp(self) -> dict[str, Any]:
        """Absolute path, size and mtime of each file. Blind to a change that keeps both, as `make` is."""
        stamp = {}
        for path in self._paths():
            with _explained(path):
                fact = path.stat()
                stamp[str(path.absolute())] = [fact.st_size, fact.st_mtime_ns]
        return stamp

    def documents(self) -> Iterator[Document]:
        for path in self._paths():
            with _explained(path):
                yield from _READERS[_format(path)](path)

    def _paths(self) -> list[Path]:
        """The files, sorted; in a folder, what is hidden or in another format is passed over."""
        root = Path(self.path).expanduser()
        if root.is_file():
            if not _format(root):
                message = f"{root.name} is in no format that Foundry reads"
                raise RequestError("data.unknown_format", "data.source", message, got=root.suffix, choices=FORMATS)
            return [root]
        if root.is_dir():
            found = [path for path in root.rglob("*") if not _hidden(path.relative_to(root))]
        else:
            found = [Path(path) for path in glob.glob(str(root), recursive=True)]
        paths = sorted(path for path in found if _format(path) and path.is_file())
        if not paths:
            message = f"no files in {self.path}" if root.is_dir() else f"no such file, folder or glob: {self.path}"
            raise RequestError("data.no_files", "data.source", message, hint=f"files end in {', '.join(FORMATS)}")
        return paths


def _format(path: Path) -> str:
    """`.jsonl` for a.jsonl and a.jsonl.gz; nothing for what Foundry doesn't read."""
    name = path.name.lower()
    for suffix in FORMATS:
        if any(name.endswith(suffix + compressed) for compressed in (COMPRESSED if suffix != ".parquet" else ("",))):
            return suffix
    return ""


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _text(path: Path) -> Iterator[Document]:
    with _binary(path) as file:
        yield Document(path.name, file.read().decode())


def _jsonl(path: Path) -> Iterator[Document]:
    with _binary(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                value = json.loads(line)
            except ValueError as error:
                raise RequestError("data.bad_json", place, str(error)) from None
            text = value.get(FIELD) if isinstance(value, dict) else None
            if not isinstance(text, str):
                keys = list(value) if isinstance(value, dict) else ()
                raise RequestError("data.no_text", place, f"no text in a field '{FIELD}'", got=FIELD, choices=keys)
            yield Document(f"{path.name}:{number}", text)


def _parquet(path: Path) -> Iterator[Document]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RequestError(
            "data.not_installed", str(path), "parquet needs pyarrow", hint="run `pip install 'foundry-train[parquet]'`"
        ) from None
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if FIELD not in schema.names:
                message = f"no column '{FIELD}'"
                raise RequestError("data.no_text", str(path), message, got=FIELD, choices=schema.names)
            kind = schema.field(FIELD).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise RequestError("data.no_text", str(path), f"column '{FIELD}' holds {kind}, not strings")
            row = 0
            for batch in file.iter_batches(columns=[FIELD]):
                for text in batch.column(0).to_pylist():
                    row += 1
                    yield Document(f"{path.name}:{row}", text or "")  # a null is an empty document
    except pa.ArrowException as error:
        raise RequestError("data.unreadable", str(path), f"not readable as parquet: {error}") from None


_READERS = {**dict.fromkeys(TEXT, _text), ".jsonl": _jsonl, ".parquet": _parquet}


@contextlib.contextmanager
def _binary(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            yield file  # pyright: ignore[reportReturnType]  (a GzipFile is read like any other)
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            message, hint = ".zst needs zstandard", "run `pip install 'foundry-train[zstd]'`"
            raise RequestError("data.not_installed", str(path), message, hint=hint) from None
        try:
            with open(path, "rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
                yield io.BufferedReader(stream)  # pyright: ignore[reportArgumentType]  (a raw stream by duck type)
        except zstandard.ZstdError as error:
            raise RequestError("data.unreadable", str(path), f"not readable as zstd: {error}") from None
    else:
        with open(path, "rb") as file:
            yield file


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What goes wrong in reading `path`, as one line that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise RequestError("data.not_utf8", str(path), message, hint="convert it, with iconv for one") from None
    except (OSError, EOFError, zlib.error) as error:  # gzip's own errors are among these
        raise RequestError("data.unreadable", str(path), str(error)) from None
