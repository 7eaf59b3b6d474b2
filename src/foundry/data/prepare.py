"""corpus → split → filter → tokenize → pack, once for each content. May not: leave half of anything, in any crash.

In the cache, `index/` says what text a source had when it was read; `tokenizers/`, `judge/` and `train/` hold sealed
folders. They are built in `tmp/` under a lock on the source and renamed into place, so a process that dies leaves only
rubbish in `tmp/`, which the next one with that lock sweeps up. A filter shares the tokenizer and the judged text of its
baseline, because both come before it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundry.core import places
from foundry.core.errors import WorkError
from foundry.core.files import locked, write_json
from foundry.core.fingerprint import file_fingerprint, fingerprint
from foundry.core.source_code import code_of
from foundry.data import corpus, manifest_dir
from foundry.data.config import DataConfig
from foundry.data.eval_split import judged_hash, write_split
from foundry.data.filter import keep
from foundry.data.pack import checked_token_bytes, pack, token_dtype
from foundry.data.prepared import TOKENIZER, Prepared, open_tokenizer, write_tokenizer
from foundry.data.sources import Document
from foundry.data.split import JUDGED, split
from foundry.data.tokenizer import DOCUMENT, SLOT, Tokenizer
from foundry.documents import recipes as documents

Report = Callable[[str], None]


def _quiet(line: str) -> None:
    pass


def prepare(config: DataConfig, report: Report = _quiet) -> Prepared:
    """The prepared data of a recipe; at once when it was prepared before and its source is unchanged.

    `report` gets a line of progress now and then. Raises RequestError for what is wrong with the request or the text,
    WorkError when the cache can't be written.
    """
    source = corpus.open_source(config.source)
    read_as = [_code(config), config.place, config.reading.model_dump(mode="json"), source.stamp()]
    index = places.cache() / "index" / f"{fingerprint(read_as)}.json"
    try:
        found = _find(config, index)
        if found is None:
            lock = fingerprint(config.place)
            with locked(places.cache() / "locks" / f"{lock}.lock"):
                found = _find(config, index)
                if found is None:
                    text = corpus.read(source, config.reading, report)
                    found = _Build(config, lock, report).run(text, index)
        return found
    except OSError as error:
        file = str(error.filename or places.cache())
        raise WorkError("data.cache", file, str(error.strerror or error), hint=places.mend(file)) from None


def restored(config: DataConfig, prepared: Prepared) -> Prepared:
    """The same data, made again where the cache has lost it. Raises WorkError where the text is another by now."""
    try:
        return Prepared.open(prepared.train_dir, prepared.judge_dir)
    except (WorkError, OSError):
        again = prepare(config)
    if (again.hash, again.judged_hash) != (prepared.hash, prepared.judged_hash):
        message = "the cache has lost the prepared data, and the text is another than it was"
        raise WorkError("data.changed", config.source, message, hint="put the text back, or run the same command again")
    return again


def summary(prepared: Prepared, commands: Iterable[str] = ()) -> documents.Prepared:
    """What a person or an agent wants to know of prepared data, and of the commands that train on it."""
    train = prepared.manifest["splits"]["train"]
    return documents.Prepared.from_dict(
        prepared.manifest,
        bytes_per_token=round(train["bytes"] / train["tokens"], 4),
        train_dir=str(prepared.train_dir),
        judge_dir=str(prepared.judge_dir),
        next=tuple(commands),
    )


def _find(config: DataConfig, index: Path) -> Prepared | None:
    """What an earlier call made of the same configuration and text, if it is whole."""
    try:
        train_dir = _train_dir(config, json.loads(index.read_bytes())["corpus"])
        return Prepared.open(train_dir, _judge_dir(manifest_dir.manifest(train_dir)))
    except (FileNotFoundError, ValueError, KeyError, TypeError, WorkError):
        return None


def _train_dir(config: DataConfig, corpus_hash: str) -> Path:
    own = {"source": config.place, **config.model_dump(mode="json", include={"filter", "reading"})}
    return places.cache() / "train" / fingerprint({**_tokenizer_key(config, corpus_hash), **own})


def _judge_dir(facts: dict[str, Any]) -> Path:
    key = {"code": facts["code"], "judged": facts["judged_hash"], "tokenizer": facts["tokenizer_hash"]}
    return places.cache() / "judge" / fingerprint(key)


def _tokenizer_key(config: DataConfig, corpus_hash: str) -> dict[str, Any]:
    return {
        "code": _code(config),
        "corpus": corpus_hash,
        "tokenizer": config.tokenizer.model_dump(mode="json"),
    }


def _code(config: DataConfig) -> str:
    """The fingerprint of what prepares it: other code may make other files of the same text."""
    tokenizer = f"{SLOT.relative}/{config.tokenizer.kind}.py"
    return fingerprint(code_of(("data/prepare.py", tokenizer), ("data/",), libraries=("tokenizers",)))


@dataclass(frozen=True)
class _Build:
    """One preparation, by the process that holds the lock."""

    config: DataConfig
    lock: str
    report: Report

    def run(self, text: corpus.Corpus, index: Path) -> Prepared:
        self._sweep_up()
        splits = split(text.documents)
        kept = keep(splits["train"], self.config.filter)
        tokenizer, tokenizer_hash = self._tokenizer(text, splits["train"])
        shared = {
            "code": _code(self.config),
            "source": self.config.place,
            "stamp": text.stamp,
            "corpus": text.hash,
            "passed_over": text.passed_over,
            "piece_bytes": text.piece_bytes,
            "tokenizer": self.config.tokenizer.model_dump(mode="json"),
            "tokenizer_hash": tokenizer_hash,
            "vocab_size": tokenizer.vocab_size,
            "dtype": token_dtype(tokenizer.vocab_size).name,
            "judged_hash": judged_hash(splits),
        }
        judge_dir, train_dir = _judge_dir(shared), _train_dir(self.config, text.hash)
        judged = self._judge(judge_dir, shared, splits, tokenizer)
        self._train(train_dir, {**shared, "splits": judged}, splits["train"], kept, tokenizer)
        write_json(index, {"corpus": text.hash})
        return Prepared.open(train_dir, judge_dir)

    def _tokenizer(self, text: corpus.Corpus, documents: list[Document]) -> tuple[Tokenizer, str]:
        """Trained on the training documents before the filter; or as it was, for the same ones. And its identity."""
        folder = places.cache() / "tokenizers" / fingerprint(_tokenizer_key(self.config, text.hash))
        try:
            tokenizer = open_tokenizer(folder)
        except WorkError:  # not there, or damaged
            manifest_dir.discard(folder)
            self.report(f"training the {self.config.tokenizer.kind} tokenizer")
            tokenizer = self.config.tokenizer.train((document.text for document in documents), text.alphabet)
            with self._staged(folder) as staged:
                write_tokenizer(staged, self.config.tokenizer, tokenizer)
                manifest_dir.seal(staged, {})
            tokenizer = open_tokenizer(folder)  # as every later process will see it
        return tokenizer, manifest_dir.manifest(folder)["files"][TOKENIZER]["sha256"]

    def _judge(
        self, folder: Path, shared: dict[str, Any], splits: dict[str, list[Document]], tokenizer: Tokenizer
    ) -> dict[str, Any]:
        """Make the judge's folder unless it is there; the counts of its splits."""
        try:
            return manifest_dir.manifest(folder)["splits"]
        except WorkError:
            pass
        with self._staged(folder) as staged:
            counts = {}
            for name in JUDGED:
                written = write_split(staged, name, splits[name], tokenizer, self._progress(name, splits[name]))
                counts[name] = {"documents": len(splits[name]), **written}
            np.save(staged / "token_bytes.npy", checked_token_bytes(tokenizer))
            manifest_dir.seal(staged, {**shared, "splits": counts})
        return counts

    def _train(
        self,
        folder: Path,
        shared: dict[str, Any],
        documents: list[Document],
        kept: list[Document],
        tokenizer: Tokenizer,
    ) -> None:
        """Make the training folder unless it is there, with this very tokenizer."""
        try:
            if manifest_dir.manifest(folder)["tokenizer_hash"] == shared["tokenizer_hash"]:
                return
            manifest_dir.discard(folder)
        except WorkError:
            pass
        with self._staged(folder) as staged:
            pieces = ((DOCUMENT, document.text) for document in kept)
            packed = pack(staged / "tokens.bin", pieces, tokenizer, self._progress("train", kept))
            write_tokenizer(staged, self.config.tokenizer, tokenizer)
            np.save(staged / "token_bytes.npy", checked_token_bytes(tokenizer))
            counts = {
                "documents": len(kept),
                "bytes": int(packed.bytes.sum()),
                "tokens": int(packed.starts[-1]),
                "dropped_documents": len(documents) - len(kept),
                "dropped_bytes": sum(document.size_bytes for document in documents) - int(packed.bytes.sum()),
            }
            manifest_dir.seal(
                staged,
                {
                    **shared,
                    "filter": self.config.filter.model_dump(mode="json"),
                    "hash": fingerprint([file_fingerprint(staged / "tokens.bin"), shared["tokenizer_hash"]]),
                    "splits": {"train": counts, **shared["splits"]},
                },
            )

    def _progress(self, name: str, documents: list[Document]) -> Callable[[int], None]:
        total = sum(document.size_bytes for document in documents)
        return lambda done: self.report(f"tokenized {done / 1e6:.1f} of {total / 1e6:.1f} MB for {name}")

    @contextmanager
    def _staged(self, final: Path) -> Iterator[Path]:
        """A folder to build in, published as `final` when all went well."""
        room = places.cache() / "tmp"
        room.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{self.lock}-", dir=room))
        try:
            (work / "new").mkdir()
            yield work / "new"
            manifest_dir.publish(work / "new", final)
        finally:
            manifest_dir.discard(work)

    def _sweep_up(self) -> None:
        """Whatever is there under this lock's name was left by a process that died: the lock is ours now."""
        for left in (places.cache() / "tmp").glob(f"{self.lock}-*"):
            manifest_dir.discard(left)
