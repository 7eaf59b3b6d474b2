"""Text that came from outside is data: how it is framed wherever Foundry answers a program, an agent or a page.

In the place of such a text stands an object with the one key `untrusted`: the text as a JSON string inside the string,
of at most 500 characters, in which nothing is left that a terminal obeys, HTML reads as a tag or that ends the frame.
What is a single word (an id, a kind, a mutation, a path without spaces) stands as it is. May not: know who says what.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

MOST = 500
WORD = r"(without )?([A-Za-z0-9_.:+=,/@%~-]|\[[0-9.,eE+-]*\]){0,200}"
"""What a program may take for a name: no space, so no sentence. `without …` is a part taken out again."""
_WORD = re.compile(WORD)
_MARKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}


def is_word(text: str) -> bool:
    return _WORD.fullmatch(text) is not None


def framed(text: str) -> dict[str, str]:
    """`text` in its frame; `json.loads` of what is under `untrusted` gives it back, cut where it was too long."""
    parts: list[str] = []
    left = MOST - 3  # the quotes, and the mark of a cut
    for character in text:
        part = json.dumps(character, ensure_ascii=not character.isprintable())[1:-1].translate(_MARKS)
        left -= len(part)
        if left < 0:
            parts.append("…")
            break
        parts.append(part)
    return {"untrusted": f'"{"".join(parts)}"'}


def is_frame(value: Any) -> bool:
    """Whether it is a frame already: whoever made it, there is nothing in it that a frame may not hold."""
    text = value.get("untrusted") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(text, str) or len(text) > MOST or not text.isprintable() or set("<>&") & set(text):
        return False
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def text(value: Any) -> str:
    """What stands in a frame, as it was; a word as it is, and nothing for None."""
    return json.loads(value["untrusted"]) if is_frame(value) else value or ""


def word(text: str) -> str | dict[str, str]:
    """`text` as it is where it is a single word, else framed."""
    return text if is_word(text) else framed(text)


def data(value: Any) -> Any:
    """Plain data with every text in it as `word` has it; a key that is none is a digest of it."""
    if isinstance(value, str):
        return word(value)
    if is_frame(value):
        return value
    if isinstance(value, dict):
        return {key(each): data(one) for each, one in value.items()}
    return [data(one) for one in value] if isinstance(value, (list, tuple)) else value


def key(text: str) -> str:
    return text if is_word(text) else f"key-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
