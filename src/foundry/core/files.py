"""Writing files so that a reader, or a crash, sees the old content or the new and nothing between."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXACT = 1 << 53
"""Integers beyond it are strings in JSON for others: many readers hold numbers as doubles."""


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace `path` with `content`, durable on return. Raises OSError and leaves the old file on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _staged(path, content) as name:
        os.replace(name, path)
    sync_directory(path.parent)


def replace_if(path: Path, expected: bytes | str, content: bytes | str) -> bool:
    """Replace `path` with `content`, durable on return, if it holds `expected`; whether it did. Raises OSError.

    What another program writes between the look and the rename after it, some microseconds, is lost: no file system
    offers less."""
    with _staged(path, content) as name:
        if path.read_bytes() != (expected.encode() if isinstance(expected, str) else expected):
            return False
        os.replace(name, path)
    sync_directory(path.parent)
    return True


def why_no_file(path: Path) -> str:
    """What stands in a file's place at `path`."""
    if path.is_dir():
        return "a folder, where a file is needed" + (" (so is an empty name)" if path == Path() else "")
    return "no ordinary file" if path.exists() else "no such file"


@contextlib.contextmanager
def _staged(path: Path, content: bytes | str) -> Iterator[Path]:
    """A file beside `path` with its permissions and the new content, on the disk already; gone if it isn't used."""
    data = content.encode() if isinstance(content, str) else content
    name = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    try:
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode), "wb") as file:
            if mode is not None and os.fstat(file.fileno()).st_mode & 0o777 != mode:  # the umask took some of it
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def as_json(value: Any) -> Any:
    """`value` as JSON that every reader understands: an integer beyond 2^53 is a string."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        return str(value)
    return value


SCHEMA = 2
"""Of every document: raised when a key that was there means something else, or nothing."""


def as_document(values: dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints, and what a report on disk holds."""
    return as_json({"schema": SCHEMA, **values})


def write_document(path: Path, document: dict[str, Any]) -> None:
    """A document for people and agents, as `--json` prints it."""
    write_json(path, as_document(document))


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sync_directory(path: Path) -> None:
    """Make renames inside `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; the kernel drops it if the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_tree(folder: Path) -> None:
    """Remove what others have made there, however deep, whatever its permissions. Raises OSError for what stays.

    Folders in folders are moved up before they are emptied: no path becomes longer than two names."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    os.chmod(folder, 0o700)
    moved = 0
    while names := os.listdir(folder):
        for name in names:
            inner = folder / name
            if inner.is_symlink() or not inner.is_dir():
                os.unlink(inner)
                continue
            os.chmod(inner, 0o700)
            for child in os.listdir(inner):
                if not (below := inner / child).is_symlink() and below.is_dir():
                    os.chmod(below, 0o700)  # a folder that moves is written to
                os.rename(below, folder / f".moved-{moved}-{secrets.token_hex(6)}")
                moved += 1
            os.rmdir(inner)
    os.rmdir(folder)
