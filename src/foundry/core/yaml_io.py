"""Reading and writing recipes as YAML 1.2: the one YAML parser in the project. Comments survive an update.

An update changes the characters of the values that differ, and leaves every other character as it was written.
What is refused, and why, is in `yaml_tree.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import RequestError, nearest
from foundry.core.files import why_no_file, write_atomic
from foundry.core.fingerprint import fingerprint
from foundry.core.yaml_tree import MAX_BYTES, Node, read

_PLAIN = re.compile(r"[A-Za-z_](?:[\w./@+-]|:(?=[\w./]))*", re.ASCII)
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # also those that YAML 1.1 would take


def read_text(path: Path) -> str:
    """The file's text. Raises RequestError when it is missing, not a file, too large or not UTF-8."""
    try:
        if not path.is_file():
            raise RequestError("yaml.no_file", str(path), why_no_file(path), hint=_neighbours(path))
        if path.stat().st_size > MAX_BYTES:
            raise RequestError("yaml.too_large", str(path), f"{path.stat().st_size} bytes; at most {MAX_BYTES}")
        return path.read_bytes().decode()  # line ends as they are: what is written back keeps them
    except UnicodeDecodeError as error:
        raise RequestError("yaml.not_utf8", str(path), f"not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise RequestError("yaml.unreadable", str(path), str(error.strerror)) from None


def parse(text: str, name: str = "<text>") -> dict[str, Any]:
    """A mapping of plain Python values. Raises RequestError; `name` says where the text came from."""
    return read(text, name).plain()


def parse_value(text: str, name: str) -> Any:
    """One value, as it could stand behind `key:` on a line: a scalar, `[...]` or `{...}`. Raises RequestError."""
    if len(text.splitlines()) > 1:
        raise RequestError("yaml.syntax", name, "a value is one line")
    try:
        return parse(f"value: {text}", name)["value"]
    except RequestError as error:
        error.path = name
        raise


def load(path: Path) -> dict[str, Any]:
    """The mapping in the file `path`, as plain Python values. Raises RequestError."""
    return parse(read_text(path), str(path))


def updated(text: str, values: dict[str, Any], header: str = "") -> str:
    """`text` with its content made equal to `values`: comments, order and spelling kept where the keys stay.

    What stands on a removed key's own line goes with it. Text in which that can't be done (explicit `? keys`, values of
    several lines that change) is written anew, without its comments. Raises RequestError when `text` isn't a recipe.
    """
    if text.strip():
        text = text if text.endswith("\n") else text + _newline(text)
        edited = _spliced(text, _changes(text, read(text), values))
        if _is(edited, values):
            return header + edited
    return header + _block(values).replace("\n", _newline(text))


def save(path: Path, values: dict[str, Any], like: str = "", header: str = "") -> None:
    """Write `values` atomically, with the comments of the YAML text `like`. Of a link, into the file that it names."""
    write_atomic(path.resolve(), updated(like, values, header))


Change = tuple[int, int, str]  # the characters [start, end) of the text become another text


def _changes(text: str, node: Node, values: dict[str, Any]) -> list[Change]:
    """The changes that make the mapping `node` equal to `values`."""
    assert node.items is not None
    if node.flow:
        return [(node.start, node.end, _inline(values))]
    changes: list[Change] = []
    indent, new_at = "", 0
    for key, (at, child) in node.items.items():
        line_start = text.rfind("\n", 0, at.start) + 1 or len(text) - len(text.lstrip("\ufeff"))
        line_end = text.index("\n", child.end) + 1
        indent, new_at = text[line_start : at.start], new_at or line_start
        if key not in values:
            changes.append((line_start, line_end, ""))
            continue
        new_at = line_end
        if fingerprint(child.plain()) == fingerprint(values[key]):
            continue
        if isinstance(values[key], dict) and values[key] and child.items:
            changes += _changes(text, child, values[key])
        elif child.flow and child.end > child.start:
            changes.append((child.start, child.end, _inline(values[key])))
        else:
            changes.append((text.find(":", at.end) + 1, child.end, f" {_inline(values[key])}"))
    added = {key: value for key, value in values.items() if key not in node.items}
    return [*changes, (new_at, new_at, _block(added, indent).replace("\n", _newline(text)))]


def _newline(text: str) -> str:
    """How the lines of a text end, most of them."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _spliced(text: str, changes: list[Change]) -> str:
    out, done = "", 0
    for start, end, new in sorted(changes):
        out += text[done:start] + new
        done = max(done, end)
    return out + text[done:]


def _is(text: str, values: dict[str, Any]) -> bool:
    try:
        return fingerprint(parse(text)) == fingerprint(values)
    except RequestError:
        return False


def _block(values: dict[str, Any], indent: str = "") -> str:
    """Lines of `key: value`, mappings inside as indented blocks."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{_inline(key)}:\n{_block(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{_inline(key)}: {_inline(value)}\n")
    return "".join(lines)


def _inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(k)}: {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _neighbours(path: Path) -> str:
    """What there is instead of the recipe at `path`: beside it, or else where a project's recipes are."""
    beside = next(each for each in (path, path.parent, Path()) if each.is_dir())
    names = {folder: sorted(file.name for file in folder.glob("*.yaml")) for folder in (beside, places.experiments())}
    found = [f"{folder} has {', '.join(files[:8])}" for folder, files in names.items() if files]
    return nearest(path.name, names[beside]) or next(
        iter(found), f"{beside} has no recipes; `foundry init` starts a project with two"
    )
