"""Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2), trained on the corpus. May not: normalize.

The alphabet is all 256 bytes, so that any text has ids and comes back unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

import numpy as np
from pydantic import Field

from foundry.data.tokenizer import Tokenizer, TokenizerConfig, decodable, utf8

if TYPE_CHECKING:
    import tokenizers


class Config(TokenizerConfig):
    vocab_size: int = Field(default=1024, ge=257, le=1_000_000)
    """The document mark, 256 bytes, and merges; a small corpus may have fewer merges to offer."""

    def train(self, texts: Iterable[str], alphabet: str) -> Tokenizer:
        import tokenizers  # 30 ms that a recipe which is only shown doesn't pay
        from tokenizers import decoders, models, pre_tokenizers, trainers

        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        # No special tokens: the library would find their names in the text, and 0 must never come from text.
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - 1,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        return BpeTokenizer(model)

    def loads(self, state: str) -> Tokenizer:
        import tokenizers

        return BpeTokenizer(tokenizers.Tokenizer.from_str(state))


@final
class BpeTokenizer(Tokenizer):
    """id = the library's id + 1."""

    def __init__(self, model: tokenizers.Tokenizer) -> None:
        self._model = model
        self.vocab_size = 1 + model.get_vocab_size()

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        for text in texts:
            utf8(text)  # refuses what no encoding can hold
        encodings = self._model.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) + 1 for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        return self._model.decode((decodable(ids, self.vocab_size) - 1).tolist(), skip_special_tokens=False)

    def token_bytes(self) -> np.ndarray:
        sizes = np.zeros(self.vocab_size, dtype=np.int32)
        for token, index in self._model.get_vocab().items():
            sizes[index + 1] = len(token)  # in the byte-level alphabet a character stands for a byte
        return sizes

    def dumps(self) -> str:
        return self._model.to_str()
