"""The house as a picture: `python docs/diagram.py` draws docs/house.md from the package's own imports.

An arrow goes from a room to one that it imports; arrows that a longer way says already are left out. May not: know a
room by name.
"""

from __future__ import annotations

import ast
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "house.md"
HEAD = """# The house

An arrow goes from a room to one that it imports; what a longer way says already is left out. Made by
`python docs/diagram.py` from the code's own imports, and held by a test.

"""


def imports() -> dict[str, set[str]]:
    """Each room of the package (a folder or a file at its top) → the rooms that it imports."""
    graph = grimp.build_graph("foundry")
    rooms = sorted(graph.find_children("foundry") - {"foundry.__main__"})
    used = {
        room: {other for other in rooms if other != room and graph.direct_import_exists(
            importer=room, imported=other, as_packages=True)}
        for room in rooms
    }  # fmt: skip
    return {_short(room): {_short(other) for other in others} for room, others in used.items()}


def reduced(used: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same without the arrows that follow from others. The rooms must make no circle."""

    def below(room: str) -> set[str]:
        return used[room].union(*(below(other) for other in used[room]))

    return {room: {it for it in others if not any(it in below(o) for o in others)} for room, others in used.items()}


def page() -> str:
    """docs/house.md as it should be: the picture, then a table of the rooms."""
    arrows = reduced(imports())
    lines = [f"    {room} --> {other}" for room, others in arrows.items() for other in sorted(others)]
    table = "".join(f"| `{room}` | {_doc(room)} |\n" for room in sorted(arrows))
    picture = "```mermaid\ngraph TD\n" + "\n".join(lines) + "\n```\n"
    return f"{HEAD}{picture}\n| room | what it is |\n|---|---|\n{table}"


def _doc(room: str) -> str:
    """The first paragraph of a room's docstring in one line, without what it may not do."""
    folder = ROOT / "src" / "foundry" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(doc.partition("\n\n")[0].split()).partition(" May not:")[0]


def _short(module: str) -> str:
    return module.removeprefix("foundry.")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.relative_to(ROOT))
