"""The contract of slot data.tokenizer, over every kind in it: a new file is tested on arrival."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.core.errors import RequestError
from foundry.data.tokenizer import DOCUMENT, SLOT, Tokenizer, TokenizerConfig
from tests.data.conftest import named

SAMPLE = [
    "shall I compare thee\nto a summer’s day?\n" * 20,
    "def f(x):\n\treturn x  # naïve 中文 🙂\r\n" * 20,
    "\x00\x7f￿",
]
ALPHABET = "".join(sorted(set("".join(SAMPLE))))
KINDS = SLOT.kinds()
FOLDER = tempfile.TemporaryDirectory()
_trained: dict[str, Tokenizer] = {}

fixture_is_constant = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def config_of(kind: str) -> TokenizerConfig:
    found = SLOT.parse(named(kind, Path(FOLDER.name)))
    assert isinstance(found, TokenizerConfig)
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tokenizer(kind: str) -> Tokenizer:
    if kind not in _trained:
        _trained[kind] = config_of(kind).train(SAMPLE, ALPHABET)
    return _trained[kind]


@fixture_is_constant
@given(text=st.text(st.sampled_from(ALPHABET)))
def test_text_of_the_corpus_comes_back_unchanged(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@fixture_is_constant
@given(text=st.text())
def test_any_text_comes_back_unchanged_or_is_refused_in_one_line(tokenizer: Tokenizer, text: str) -> None:
    try:
        ids = tokenizer.encode(text)
    except RequestError as error:
        assert "\n" not in str(error)
    else:
        assert tokenizer.decode(ids) == text


@fixture_is_constant
@given(text=st.text(st.sampled_from(ALPHABET)))
def test_the_ids_of_a_text_stand_for_exactly_its_bytes(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.token_bytes()[ids].sum() == len(text.encode())
    assert ids.dtype == np.uint32 and (ids < tokenizer.vocab_size).all()


@fixture_is_constant
@given(texts=st.lists(st.text(st.sampled_from(ALPHABET)), max_size=5))
def test_a_text_has_the_same_ids_alone_and_in_a_batch(tokenizer: Tokenizer, texts: list[str]) -> None:
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert np.array_equal(ids, tokenizer.encode(text))


def test_only_the_document_mark_stands_for_no_bytes(tokenizer: Tokenizer) -> None:
    sizes = tokenizer.token_bytes()
    assert sizes.shape == (tokenizer.vocab_size,) and sizes.dtype == np.int32
    assert sizes[DOCUMENT] == 0 and (sizes[1:] > 0).all()


def test_no_text_becomes_a_document_mark(tokenizer: Tokenizer) -> None:
    for text in [*SAMPLE, "a"]:
        assert DOCUMENT not in tokenizer.encode(text)


def test_document_marks_vanish_from_decoded_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("day")
    assert tokenizer.decode([0, *ids, 0, *ids]) == "dayday"


def test_ids_outside_the_vocabulary_are_refused(tokenizer: Tokenizer) -> None:
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(RequestError, match="no id"):
            tokenizer.decode([1, wrong])


def test_what_is_dumped_loads_as_the_same_tokenizer(kind: str, tokenizer: Tokenizer) -> None:
    again = config_of(kind).loads(tokenizer.dumps())
    assert again.dumps() == tokenizer.dumps() and again.vocab_size == tokenizer.vocab_size
    assert np.array_equal(again.token_bytes(), tokenizer.token_bytes())
    for text in SAMPLE:
        assert np.array_equal(again.encode(text), tokenizer.encode(text))


def test_training_twice_gives_the_same_tokenizer(kind: str, tokenizer: Tokenizer) -> None:
    assert config_of(kind).train(SAMPLE, ALPHABET).dumps() == tokenizer.dumps()


def test_a_newline_is_always_one_token(kind: str) -> None:
    for corpus in ("no line ends here", "x"):
        ids = config_of(kind).train([corpus], "".join(sorted(set(corpus)))).encode("\n")
        assert len(ids) == 1 and ids[0] != DOCUMENT


def test_half_a_surrogate_pair_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match="surrogate"):
        tokenizer.encode("a\ud800b")


def test_a_character_outside_the_corpus_is_named() -> None:
    tokenizer = config_of("char").train(["abc"], "abc")
    for stranger in ("é", "🙂", "\x00", "B"):
        with pytest.raises(RequestError, match=f"U\\+{ord(stranger):04X}"):
            tokenizer.encode(f"ab{stranger}c")


def test_bpe_merges_up_to_its_vocabulary_and_bytes_do_not() -> None:
    corpus = ["the cat sat on the mat; the rat ate the hat. " * 50]
    bpe = SLOT.parse({"kind": "bpe", "vocab_size": 280})
    assert isinstance(bpe, TokenizerConfig)
    trained = bpe.train(corpus, "")
    assert 257 < trained.vocab_size <= 280
    assert len(trained.encode(corpus[0])) < len(config_of("bytes").train(corpus, "").encode(corpus[0])) / 2


def test_names_that_look_like_special_tokens_are_ordinary_text() -> None:
    tokenizer = config_of("bpe").train(["<|endoftext|> <unk> [PAD]"] * 9, "")
    for text in ("<|endoftext|>", "<unk>", "[PAD]<s>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text and DOCUMENT not in tokenizer.encode(text)
