"""Preparing: once for each content, shared where it can be, and never half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundry.core.errors import RequestError, WorkError
from foundry.core.files import locked
from foundry.core.fingerprint import fingerprint
from foundry.data import manifest_dir
from foundry.data.config import DataConfig
from foundry.data.eval_split import JudgedSplit
from foundry.data.prepare import prepare, summary
from foundry.data.prepared import Prepared, open_tokenizer
from foundry.data.split import JUDGED
from foundry.data.stream import open_tokens
from foundry.data.tokenizer import DOCUMENT

Make = Callable[..., DataConfig]
FILTER = {"dedupe": True, "min_bytes": 1500}

CHILD = """
import contextlib, os, signal, sys
import foundry.data.prepare as room
from foundry.core.section import validate
from foundry.data.config import DataConfig
source, die_at = sys.argv[1], int(sys.argv[2])
lines = 0
def report(line):
    global lines
    lines += 1
    print(line, flush=True)
    if lines == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
if die_at < 0:
    import foundry.data.manifest_dir as sealed
    real, left = sealed.publish, -die_at
    def publish(staged, final):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(staged, final)
    sealed.publish = publish
take = room.locked
@contextlib.contextmanager
def locked(path):
    print("at the lock", flush=True)
    with take(path):
        yield
room.locked = locked
print(room.prepare(validate(DataConfig, {"source": source, "tokenizer": "char"}), report).hash)
"""


def child(texts: Path, die_at: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, f"file:{texts}", str(die_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def train_tokens(prepared: Prepared) -> np.ndarray:
    return open_tokens(prepared.train_dir).numpy()


def check_files(*folders: Path) -> None:
    for folder in folders:
        for name in manifest_dir.manifest(folder)["files"]:
            manifest_dir.checked(folder, name)


def text_of(prepared: Prepared) -> list[str]:
    """The training text as it was packed, document by document."""
    tokens, tokenizer = train_tokens(prepared), prepared.tokenizer()
    return [tokenizer.decode(part) for part in np.split(tokens, np.flatnonzero(tokens == DOCUMENT)[1:])]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("tokenizer", ["char", "bytes", "bpe"])
def test_packed_tokens_decode_to_the_training_documents_in_order(config: Make, texts: Path, tokenizer: str) -> None:
    prepared = prepare(config(tokenizer=tokenizer))
    packed = text_of(prepared)
    everything = [path.read_text() for path in sorted(texts.iterdir())]
    assert packed == [text for text in everything if text in set(packed)]
    counts = prepared.manifest["splits"]
    assert counts["train"]["documents"] == len(packed)
    assert sum(part["documents"] for part in counts.values()) == len(everything)
    assert sum(part["bytes"] for part in counts.values()) == sum(len(text.encode()) for text in everything)


def test_judged_text_is_the_same_for_every_tokenizer_and_filter(config: Make) -> None:
    base = prepare(config())
    filtered, other = prepare(config(filter=FILTER)), prepare(config(tokenizer="bpe"))
    assert base.judged_hash == filtered.judged_hash == other.judged_hash
    assert base.judge_dir == filtered.judge_dir != other.judge_dir
    assert len({base.hash, filtered.hash, other.hash}) == 3
    assert (base.train_dir / "tokenizer.json").read_bytes() == (filtered.train_dir / "tokenizer.json").read_bytes()
    assert filtered.manifest["splits"]["train"]["dropped_documents"] > 0


def test_other_text_has_another_judged_hash(config: Make, texts: Path) -> None:
    before = prepare(config())
    for path in texts.iterdir():
        path.write_text(path.read_text() + "more\n")
    after = prepare(config())
    assert after.judged_hash != before.judged_hash and after.hash != before.hash


def test_a_filter_that_drops_nothing_is_the_same_data(config: Make) -> None:
    assert prepare(config(filter={"dedupe": True})).hash == prepare(config()).hash


def test_no_judged_document_is_in_the_training_folder(config: Make, texts: Path) -> None:
    prepared = prepare(config(tokenizer="bytes"))
    trained = set(text_of(prepared))
    judged = [path.read_text() for path in texts.iterdir() if path.read_text() not in trained]
    assert len(judged) >= 3
    ids = train_tokens(prepared).astype(np.uint8)  # one id a byte, so that text can be looked for
    for text in judged:
        needle = (np.frombuffer(text.encode()[:200], np.uint8) + 1).tobytes()
        assert needle not in ids.tobytes()


def test_asking_again_reads_no_text(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(config())
    monkeypatch.setattr("foundry.data.corpus.read", lambda *_: pytest.fail("read again"))
    lines: list[str] = []
    assert prepare(config(), lines.append) == first and lines == []


def test_one_folder_by_another_path_reads_no_text(config: Make, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(texts.parent)
    monkeypatch.setenv("HOME", str(texts.parent))
    first = prepare(config())
    monkeypatch.setattr("foundry.data.corpus.read", lambda *_: pytest.fail("read again"))
    (texts.parent / "link").symlink_to(texts)
    for spelled in (f"file:{texts.name}", f"file:./{texts.name}/", f"file:~/{texts.name}", "file:link"):
        assert prepare(config(source=spelled)) == first


def test_touched_files_with_the_same_text_are_not_packed_again(config: Make, texts: Path) -> None:
    first = prepare(config())
    stamp = (first.train_dir / "tokens.bin").stat().st_mtime_ns
    os.utime(next(texts.iterdir()), ns=(1, 1))
    assert prepare(config()) == first
    assert (first.train_dir / "tokens.bin").stat().st_mtime_ns == stamp


def test_a_changed_file_is_prepared_anew(config: Make, texts: Path) -> None:
    first = prepare(config())
    (texts / "99.txt").write_text("new text\n" * 30)
    assert prepare(config()).manifest["corpus"] != first.manifest["corpus"]


def test_two_processes_at_once_build_once(texts: Path, cache: Path) -> None:
    with locked(cache / "locks" / f"{fingerprint(f'file:{texts}')}.lock"):
        both = [child(texts), child(texts)]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "at the lock\n"  # each has seen that nothing is prepared
    outputs = [process.communicate()[0] for process in both]
    assert sum("for train" in output for output in outputs) == 1
    assert len({output.split()[-1] for output in outputs}) == 1


@pytest.mark.parametrize("die_at", [1, 3, 6, -1, -2, -3])
def test_a_kill_midway_leaves_nothing_half(config: Make, texts: Path, cache: Path, die_at: int) -> None:
    """die_at n: killed at the n-th line of progress; -n: just before the n-th folder is put into place."""
    killed = child(texts, die_at)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    for folder in [path for room in ("train", "judge", "tokenizers") for path in (cache / room).glob("*")]:
        check_files(folder)
    prepared = prepare(config())
    check_files(prepared.train_dir, prepared.judge_dir)
    assert len(text_of(prepared)) == prepared.manifest["splits"]["train"]["documents"]
    assert list((cache / "tmp").iterdir()) == []


@pytest.mark.parametrize("side", ["train_dir", "judge_dir"])
@pytest.mark.parametrize("name", ["manifest.json", "token_bytes.npy"])
@pytest.mark.parametrize("how", ["missing", "torn"])
def test_a_torn_cache_is_rebuilt(config: Make, side: str, name: str, how: str) -> None:
    first = prepare(config())
    path: Path = getattr(first, side) / name
    path.unlink() if how == "missing" else path.write_bytes(path.read_bytes()[:-7])
    again = prepare(config())
    check_files(again.train_dir, again.judge_dir)
    assert again == first


def test_a_manifest_that_was_edited_is_rebuilt(config: Make) -> None:
    first = prepare(config())
    path = first.train_dir / "manifest.json"
    path.write_text(path.read_text().replace(first.judged_hash, "0" * 32))
    assert prepare(config()) == first


@pytest.mark.parametrize("name", ["tokens.bin", "tokenizer.json", "token_bytes.npy"])
def test_a_flipped_bit_is_found_when_its_file_is_checked(config: Make, name: str) -> None:
    prepared = prepare(config())
    check_files(prepared.train_dir, prepared.judge_dir)
    damage(prepared.train_dir / name)
    with pytest.raises(WorkError, match=f"{name} is not what was written"):
        check_files(prepared.train_dir, prepared.judge_dir)


def test_a_damaged_tokenizer_is_not_loaded(config: Make) -> None:
    prepared = prepare(config())
    damage(prepared.train_dir / "tokenizer.json")
    with pytest.raises(WorkError, match=r"data\.corrupt"):
        open_tokenizer(prepared.train_dir)


@pytest.mark.parametrize("suffix", [".bin", ".npz"])
def test_damaged_judged_text_is_not_judged_by(config: Make, suffix: str) -> None:
    prepared = prepare(config())
    damage(prepared.judge_dir / f"validation{suffix}")
    with pytest.raises(WorkError, match=r"data\.corrupt"):
        JudgedSplit.open(prepared.judge_dir, "validation")
    JudgedSplit.open(prepared.judge_dir, "test")


def test_folders_of_different_data_are_not_opened_together(config: Make) -> None:
    chars, raw = prepare(config()), prepare(config(tokenizer="bytes"))
    with pytest.raises(WorkError, match="other data"):
        Prepared.open(chars.train_dir, raw.judge_dir)


@pytest.mark.parametrize("lose", [manifest_dir.discard, lambda folder: damage(folder / "tokenizer.json")])
def test_a_lost_or_damaged_tokenizer_is_trained_again_the_same(
    config: Make, cache: Path, lose: Callable[[Path], None]
) -> None:
    first = prepare(config(tokenizer="bpe"))
    for folder in (cache / "tokenizers").iterdir():
        lose(folder)
    manifest_dir.discard(first.judge_dir)
    assert prepare(config(tokenizer="bpe")) == first


def test_the_summary_adds_up(config: Make) -> None:
    prepared = prepare(config())
    facts = summary(prepared)
    assert facts["splits"].keys() == {"train", *JUDGED}
    assert facts["splits"]["train"]["tokens"] == len(train_tokens(prepared))
    assert facts["vocab_size"] == prepared.tokenizer().vocab_size == prepared.vocab_size


def test_ids_beyond_16_bits_are_kept_whole(tmp_path: Path, config: Make) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    points = [point for point in range(0x20, 0x11000) if not 0xD800 <= point < 0xE000]
    for number in range(10):
        (folder / f"{number}.txt").write_text("".join(map(chr, points[number::10])) + "\n")
    prepared = prepare(config(source=f"file:{folder}"))
    assert prepared.vocab_size > 65_535 and train_tokens(prepared).dtype == np.uint32
    assert train_tokens(prepared).max() > 65_535


def test_a_cache_that_cannot_be_written_is_one_line(config: Make, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(WorkError, match=r"data\.cache") as caught:
        prepare(config())
    assert "\n" not in str(caught.value)


def test_a_request_that_fails_leaves_no_folder(config: Make, cache: Path) -> None:
    with pytest.raises(RequestError):
        prepare(config(filter={"min_bytes": 1 << 30}))
    assert not list(cache.glob("t*/*")) and not list(cache.glob("judge/*"))


def test_opening_this_room_imports_nothing_heavy() -> None:
    code = "import sys, foundry.data.prepare; sys.exit(bool({'torch', 'tokenizers', 'pyarrow'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
