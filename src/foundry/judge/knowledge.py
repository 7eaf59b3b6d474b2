"""What a part's source can know beyond how it computes: weights and tables need bytes, and bytes can be counted.

Sizes are compressed, so that repetition costs nothing and numbers can't hide in another spelling. May not: import the
source, decide that somebody cheats; a person looks.
"""

from __future__ import annotations

import ast
import io
import tokenize
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from foundry.stats.verdict import Guard

LITERAL_BYTES = 1024
"""Of numbers, strings and bytes, docstrings left out. What ships and the honest corpus need 365 at most (muon)."""
SAID_BYTES = 2048
"""Of these, docstrings, comments and every name once; 1,181 at most (muon)."""
WHOLE_BYTES = 4096
"""Of the whole text: order, operators and layout carry bits too. 1,840 at most (muon)."""


@dataclass(frozen=True)
class Carried:
    """Compressed bytes of one or several sources together."""

    literal_bytes: int
    said_bytes: int
    whole_bytes: int

    @property
    def too_much(self) -> str:
        """What is more than a part needs, in words; "" when nothing is."""
        found = [
            f"{size:,} bytes of {what}, {most:,} at most"
            for what, size, most in (
                ("literals", self.literal_bytes, LITERAL_BYTES),
                ("literals, comments and names", self.said_bytes, SAID_BYTES),
                ("source", self.whole_bytes, WHOLE_BYTES),
            )
            if size > most
        ]
        return "; ".join(found)


def carried(sources: Iterable[str], values: str = "", known_values: str = "") -> Carried:
    """Of sources that are new to the champion, and of a recipe's values (JSON) beyond the champion's: a table may stand
    in a field of a part's config as well."""
    texts = list(sources)
    parsed = [(text, _parsed(text)) for text in texts]
    literals = [each for text, tree in parsed for each in (_literals(text, tree) if tree else [text])]
    said = [each for text, tree in parsed for each in (*_comments(text), *(_names(tree) if tree else ()))]
    beyond = _size(known_values + values) - _size(known_values)
    docs = [doc for _, tree in parsed if tree for doc in _docstrings(tree)]
    sizes = [_size("\n".join(of)) for of in (literals, [*literals, *docs, *said], texts)]
    return Carried(sizes[0] + beyond, sizes[1] + beyond, sizes[2] + beyond)


def knowledge_guard(of: Carried) -> Guard:
    """More than a part needs waits for a person (docs/judge.md, "Quarantine")."""
    if not of.too_much:
        return Guard("knowledge", True, f"{of.literal_bytes:,} bytes of literals, {of.whole_bytes:,} of source")
    said = (
        f"in quarantine until a person has looked: its code carries {of.too_much}, compressed; docs/judge.md says how"
    )
    return Guard("knowledge", False, f"{said} to release it")


def _size(text: str) -> int:
    return len(zlib.compress(text.encode(errors="surrogatepass"), 9)) - len(zlib.compress(b"", 9))


def _parsed(text: str) -> ast.Module | None:
    """None for what can't be parsed: then all of it is literal."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _docstring(node: ast.AST) -> ast.Constant | None:
    first = node.body[0] if isinstance(node, _Documented) and node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _docstrings(tree: ast.Module) -> list[str]:
    return [str(doc.value) for node in ast.walk(tree) if (doc := _docstring(node))]


_INERT = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.JoinedStr)
_MARKS = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context)


def _literals(text: str, tree: ast.Module) -> list[str]:
    """Constants as they are written, with the brackets and operators around them where there is nothing else inside:
    nesting can stand for numbers. As often as they stand there."""
    docs = {id(doc) for node in ast.walk(tree) if (doc := _docstring(node))}
    nodes = [node for node in ast.walk(tree) if not isinstance(node, _MARKS)]
    inert: set[int] = set()
    for node in reversed(nodes):  # parents come before their children
        below = [child for child in ast.iter_child_nodes(node) if not isinstance(child, _MARKS)]
        constant = isinstance(node, ast.Constant) or (isinstance(node, _INERT) and all(id(c) in inert for c in below))
        inert |= {id(node)} if constant and id(node) not in docs else set()
    inside = {id(child) for node in nodes if id(node) in inert for child in ast.iter_child_nodes(node)}
    lines = text.encode(errors="surrogatepass").splitlines(keepends=True)
    return [_segment(lines, node) for node in nodes if id(node) in inert and id(node) not in inside]


def _segment(lines: list[bytes], node: ast.AST) -> str:
    """The text of an expression. (`ast.get_source_segment` splits the whole text each time.)"""
    first, last = getattr(node, "lineno", 1) - 1, getattr(node, "end_lineno", 1) - 1
    found = b"".join(lines[first : last + 1])
    behind = len(lines[last]) - getattr(node, "end_col_offset", 0) if last < len(lines) else 0
    return found[getattr(node, "col_offset", 0) : len(found) - behind].decode(errors="replace")


def _names(tree: ast.Module) -> list[str]:
    """Every name once, in the order of the text: which ones there are can be read at run time."""
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(value := getattr(node, name, None), str):
                found[value] = None
    return list(found)


def _comments(text: str) -> Iterator[str]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string
    except (tokenize.TokenError, SyntaxError):  # it is in the whole
        return
