"""A folder that is whole or isn't there: built aside, renamed into place, every file listed in its sealed manifest.

Opening checks the manifest's seal and the files' sizes, in microseconds; `checked` reads and hashes one of them.
May not: know what the files mean.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from foundry.core.errors import MachineTrouble, WorkError
from foundry.core.files import sync_directory
from foundry.core.fingerprint import file_fingerprint, fingerprint

MANIFEST = "manifest.json"


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write the manifest of `folder`: `facts`, size and hash of each file, and a seal over all of that. Durable."""
    files = {}
    for path in sorted(folder.iterdir()):
        files[path.name] = {"bytes": path.stat().st_size, "sha256": file_fingerprint(path)}
        _sync(path)
    body = {**facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps({**body, "seal": fingerprint(body)}, indent=2) + "\n")
    _sync(folder / MANIFEST)
    sync_directory(folder)


def publish(staged: Path, final: Path) -> None:
    """Move a sealed folder to its place. One that is there already and opens is kept; a broken one is replaced."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            os.rename(staged, final)
            sync_directory(final.parent)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        try:
            manifest(final)
            return
        except WorkError:
            with contextlib.suppress(FileNotFoundError):  # another process may have been quicker
                os.rename(final, Path(tempfile.mkdtemp(prefix="broken-", dir=staged.parent)) / "was")
    raise WorkError("data.busy", str(final), "another process keeps writing here", hint="try again")


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a sealed folder, its files' sizes checked. Raises WorkError `data.corrupt`."""
    try:
        body = json.loads((folder / MANIFEST).read_bytes())
        stamp = body.pop("seal")
        if stamp != fingerprint(body):
            raise _corrupt(folder, f"{MANIFEST} was changed")
        for name, listed in body["files"].items():
            if (size := os.stat(folder / name).st_size) != listed["bytes"]:
                raise _corrupt(folder, f"{name} has {size} bytes of {listed['bytes']}")
    except OSError as error:
        raise _corrupt(folder, f"{error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _corrupt(folder, f"{MANIFEST} is damaged") from None
    return body


def checked(folder: Path, name: str) -> Path:
    """The path of one file of a sealed folder, its content verified. Raises WorkError `data.corrupt`."""
    listed = manifest(folder)["files"].get(name)
    if listed is None or file_fingerprint(folder / name) != listed["sha256"]:
        raise _corrupt(folder, f"{name} is not what was written")
    return folder / name


def discard(folder: Path) -> None:
    """Remove it, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _corrupt(folder: Path, message: str) -> MachineTrouble:
    return MachineTrouble("data.corrupt", str(folder), message, hint="remove this folder; it is made again when needed")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
