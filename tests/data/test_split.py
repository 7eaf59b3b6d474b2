"""Splits and filters: nothing that is judged is trained on, and no mutation moves it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.core.errors import RequestError
from foundry.data.config import FilterConfig
from foundry.data.filter import keep
from foundry.data.sources import Document
from foundry.data.split import JUDGED, split

ALL = ("train", *JUDGED)


def corpus(texts: list[str]) -> list[Document]:
    return [Document(str(number), text) for number, text in enumerate(texts)]


corpora = st.lists(st.text("ab\n", min_size=1, max_size=30), min_size=4, max_size=40).filter(
    lambda texts: len(set(texts)) >= 4
)


@settings(max_examples=150, deadline=None)
@given(corpora)
def test_every_document_is_in_one_split_and_no_text_in_two(texts: list[str]) -> None:
    splits = split(corpus(texts))
    assert sorted(document.name for name in ALL for document in splits[name]) == sorted(map(str, range(len(texts))))
    found = [{document.text for document in splits[name]} for name in ALL]
    assert all(found) and sum(map(len, found)) == len(set(texts))


@settings(max_examples=50, deadline=None)
@given(corpora, st.randoms())
def test_the_order_and_names_of_documents_do_not_move_them(texts: list[str], draw) -> None:
    shuffled = list(texts)
    draw.shuffle(shuffled)
    first, second = split(corpus(texts)), split(corpus(shuffled))
    for name in ALL:
        assert {document.text for document in first[name]} == {document.text for document in second[name]}


@pytest.mark.parametrize("count", [40, 400])
def test_judged_splits_have_about_a_twentieth_each(count: int) -> None:
    splits = split(corpus([f"{number} " * (50 + number % 17) for number in range(count)]))
    total = sum(document.size_bytes for name in ALL for document in splits[name])
    for name in JUDGED:
        assert 0.02 < sum(document.size_bytes for document in splits[name]) / total < 0.08


def test_one_huge_document_is_trained_on() -> None:
    splits = split(corpus(["a", "b", "x" * 100_000, "c"]))
    assert [document.text[0] for document in splits["train"]] == ["x"]


def test_too_few_distinct_texts_are_refused() -> None:
    with pytest.raises(RequestError, match="3 distinct documents"):
        split(corpus(["a", "b", "c", "a", "a"]))


def test_dedupe_keeps_the_first_of_equal_texts() -> None:
    kept = keep(corpus(["a", "b", "a", "a ", "b"]), FilterConfig(dedupe=True))
    assert [document.name for document in kept] == ["0", "1", "3"]


def test_lengths_are_in_bytes_and_inclusive() -> None:
    kept = keep(corpus(["é", "ab", "abc", "éé", "abcde"]), FilterConfig(min_bytes=2, max_bytes=4))
    assert [document.text for document in kept] == ["é", "ab", "abc", "éé"]


def test_without_a_filter_everything_is_kept() -> None:
    documents = corpus(["a", "a", "b"])
    assert keep(documents, FilterConfig()) == documents


def test_a_filter_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match=r"data\.filter"):
        keep(corpus(["a", "b"]), FilterConfig(min_bytes=9))
