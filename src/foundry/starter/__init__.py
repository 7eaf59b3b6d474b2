"""`init`: the first files of a project, in a folder that has none of them. May not: overwrite, or leave a part of them.

The files are package data, in `files/`; its recipes are those of the checkout, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

from foundry.core import places, yaml_io
from foundry.core.errors import FoundryError, RequestError, WorkError
from foundry.data.corpus import open_source
from foundry.documents.recipes import Initialized
from foundry.skill import NAME, PLACES, Agent
from foundry.skill import text as skill_text

CORPUS = "builtin:networkx"
"""One that comes with torch, and that workspace code can't read: it can train on it."""
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SWEEP = "foundry sweep position rope alibi --promote"


def init(folder: Path, corpus: str = CORPUS, agent: Agent | None = None) -> Initialized:
    """Write `folder`'s first files, their recipes training on `corpus`, and how `agent` works there; all or none.

    Raises RequestError for a corpus that isn't there, where one of the files is there already, and where no folder can
    be; WorkError where the disk is full."""
    source = _from_folder(folder, corpus)
    open_source(corpus).stamp()  # raises where there is no such text
    here = places.root().resolve()
    with places.within(Path()):  # the places below are the new folder's
        return _begun(folder, source, agent, [] if folder.resolve() == here else [f"cd {shlex.quote(str(folder))}"])


def _begun(folder: Path, source: str, agent: Agent | None, go: list[str]) -> Initialized:
    texts = _texts(folder, source)
    if agent is not None:
        texts[folder / PLACES[agent] / NAME] = skill_text().encode()
    present = [str(file) for file in texts if os.path.lexists(file)]
    if present:
        raise _exists(folder, present)
    with _all_or_nothing(folder) as undo:
        # .gitignore first, into the folder itself: of two that begin at once, the one that makes it goes on
        for file, text in texts.items():
            _write(file, text, undo)
        _mkdir(folder / places.workspace(), undo)
    prepare = f"foundry data prepare {shlex.quote(source)}"
    train = f"foundry train {shlex.quote(str(places.baseline()))}"
    return Initialized(
        folder=str(folder),
        source=source,
        files=tuple(str(file) for file in texts),
        next=(*go, prepare, train, SWEEP),
    )


def _from_folder(folder: Path, corpus: str) -> str:
    """The corpus as the recipes in `folder` name it: a path that began here begins there."""
    kind, _, path = corpus.partition(":")
    if kind != "file" or not path or path.startswith("~") or os.path.isabs(path):
        return corpus
    here, there = places.root().resolve() / path, folder.resolve()
    return f"file:{here.relative_to(there) if here.is_relative_to(there) else here}"


def _texts(folder: Path, source: str) -> dict[Path, bytes]:
    """Each file of the project with its content."""
    data = resources.files(__name__) / "files"
    texts = {folder / name: (data / name.lstrip(".")).read_bytes() for name in (".gitignore", "README.md")}
    for name in ("baseline.yaml", "modern.yaml"):
        text = (data / "experiments" / name).read_bytes().decode()
        values = yaml_io.parse(text, name)
        values["data"]["source"] = source
        texts[folder / places.experiments() / name] = yaml_io.updated(text, values).encode()
    return texts


def _exists(folder: Path, present: list[str]) -> RequestError:
    message = f"nothing was written, for there is {', '.join(present)} already"
    hint = "`foundry init NAME` makes a folder of its own"
    return RequestError("init.exists", str(folder), message, got=str(folder), hint=hint)


def _write(file: Path, text: bytes, undo: list[Callable[[], None]]) -> None:
    _mkdir(file.parent, undo)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    undo.append(file.unlink)
    with open(handle, "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())  # a full disk may say so only here


def _mkdir(folder: Path, undo: list[Callable[[], None]]) -> None:
    if folder.is_dir():
        return
    _mkdir(folder.parent, undo)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():  # else another made it meanwhile
            raise
    else:
        undo.append(folder.rmdir)


@contextlib.contextmanager
def _all_or_nothing(folder: Path) -> Iterator[list[Callable[[], None]]]:
    """Steps back, taken where not every step forward was; a signal in between waits, and counts as that."""
    undo: list[Callable[[], None]] = []
    asked: list[int] = []
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # signals interrupt no other
            before = {number: signal.getsignal(number) for number in STOPS}
        for number, handler in before.items():
            if handler not in (None, signal.SIG_IGN):  # not a mask: another thread would take the signal
                signal.signal(number, lambda number, frame: asked.append(number))
        yield undo
        if asked:
            raise KeyboardInterrupt
    except BaseException as error:
        for step in reversed(undo):
            with contextlib.suppress(OSError):  # a folder in which another has put something stays
                step()
        if isinstance(error, OSError):
            raise _why(folder, error) from None
        raise
    finally:
        for number, handler in before.items():
            if handler not in (None, signal.SIG_IGN):
                signal.signal(number, handler)


def _why(folder: Path, error: OSError) -> FoundryError:
    file = os.fsdecode(error.filename or folder)
    message = f"nothing was written: {error.strerror or error}"
    if isinstance(error, FileExistsError) and Path(file).parent.is_dir() and file != str(folder):
        return _exists(folder, [file])  # of another that began at the same time
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return RequestError("init.not_a_folder", file, "nothing was written: it is no folder", hint="name a folder")
    if isinstance(error, PermissionError):
        return RequestError("init.forbidden", file, message, hint="name a folder that you may write")
    return WorkError("init.failed", file, message, hint="mend it, and the same command begins anew")
