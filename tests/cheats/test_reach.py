"""What a contestant can open, opened: no judged text is in it, whatever its form; where it would be, no code runs."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data import topics

import pytest

from foundry import sandbox
from foundry.core import places
from foundry.core.errors import RequestError
from foundry.data.corpus import open_source
from foundry.data.sources import Reader, ReadingConfig
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.sandbox.reach import code_paths, in_reach, package_folders, trees
from tests.confined import confined
from tests.home import small_lab, write_tiny

pytestmark = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
TIERS = [tier for tier in ("landlock", "bubblewrap") if sandbox.probe().at_least(tier)]
SEARCHED_BYTES = 1 << 18
TEXTS = ("builtin:shakespeare", "builtin:networkx")
PROGRAMS = (b"\x7fELF", b"!<arch>")
PACKED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": lambda data: gzip.decompress(data),
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"PK\x03\x04": lambda data: b"".join(map(zipfile.ZipFile(io.BytesIO(data)).read, _names(data))),
}
LOOK = """
import json, os, sys
found = {}
for path in json.loads(sys.argv[1]):
    try:
        found[path] = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(20).hex()
    except OSError as error:
        found[path] = None
tops = tuple(sys.argv[2].split(":"))
names = (os.path.join(base, name) for base, _, names in os.walk("/") for name in names)
there = (name for name in names if not name.startswith(("/proc", "/sys", "/dev", *tops)) and os.path.isfile(name))
found["beyond"] = [name for name in there if not os.path.realpath(name).startswith(tops)]
print(json.dumps(found))
"""


def _names(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def needles() -> list[bytes]:
    """A line of some works of each text that code is judged on, in each encoding that a text is kept in: UTF-16 in
    either order has the shortened one."""
    read = {name: list(open_source(name).documents(Reader(ReadingConfig()))) for name in TEXTS}
    longest = sorted(read[TEXTS[1]], key=lambda document: document.size_bytes)[-3:]
    texts = [document.text for document in (*read[TEXTS[0]][::21], *longest)]
    lines = [max(text[len(text) // 2 :][:4000].splitlines(), key=len).strip()[:40] for text in texts]
    return [form for line in lines for form in (line.encode(), line.encode("utf-16-le")[:-1])]


def holds(data: bytes, wanted: list[bytes]) -> bool:
    """Whether one of these is in it, packed or not; of a file that can't be unpacked, as it is."""
    for magic, unpack in PACKED.items():
        if data.startswith(magic):
            try:
                data = unpack(data)
            except Exception:
                break
    return any(needle in data for needle in wanted)


def files(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
    for base, _, names in os.walk(top):
        yield from (Path(base, name) for name in names)


def _by_other_names() -> list[Path]:
    """/lib is a link to /usr/lib on most systems, and a folder of its own in bubblewrap."""
    emptied = {str(folder) for folder in package_folders()}
    return [path for path in trees() if not any(folder.startswith(str(path)) for folder in emptied)]


def test_no_file_that_a_contestant_can_open_holds_judged_text(tmp_path: Path) -> None:
    wanted = needles()

    def search() -> list[str]:
        found, opened = [], 0
        for path in (path for top in code_paths() if not top.is_relative_to("/sys") for path in files(top)):
            try:
                with open(path, "rb") as file:
                    start = file.read(8)
                    if not start.startswith(PROGRAMS):
                        opened += 1
                        found += [str(path)] if holds(start + file.read(SEARCHED_BYTES), wanted) else []
            except OSError:
                continue
        assert opened > 1000
        return found

    assert confined(sandbox.Policy(), search) == "[]"
    text = b" ".join(wanted)
    for name, data in {
        "raw": text,
        "gz": gzip.compress(text),
        "xz": lzma.compress(text),
        "wide": text.decode("latin-1").encode("utf-16-be"),
    }.items():
        assert holds(data, wanted), name  # the search finds what is there


@pytest.mark.parametrize("tier", TIERS)
def test_a_contestant_opens_no_source_no_prepared_text_and_no_link_to_them(tier: str, home: Path) -> None:
    with small_lab() as lab:
        prepared = lab.data(Recipe.load(places.baseline()))
    texts = [path for root in open_source("builtin:shakespeare").files() for path in sorted(root.glob("*_gut.txt"))[:2]]
    workspace = home / "workspace"
    workspace.mkdir()
    (workspace / "own").write_text("mine")
    (workspace / "link").symlink_to(texts[0])
    hub = Path.home() / ".cache" / "huggingface"
    secret = [*texts, *prepared.judge_dir.iterdir(), workspace / "link", home / "experiments" / "baseline.yaml", hub]
    asked = json.dumps([str(path) for path in (*secret, workspace / "own", texts[0].parent)])
    tops = ":".join(map(str, (*code_paths(), *_by_other_names(), workspace)))
    policy = sandbox.Policy(read=(workspace,), env=sandbox.passed_on())
    if tier == "bubblewrap":
        command = sandbox.wrap([sys.executable, "-c", LOOK, asked, tops], policy)
    else:
        confine = f"from foundry import sandbox; sandbox.confine(sandbox.Policy.from_json({policy.to_json()!r}))"
        command = [sys.executable, "-c", f"{confine}\n{LOOK}", asked, tops]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found[str(workspace / "own")] == b"mine".hex()
    opened = {path for path in map(str, secret) if found[path] is not None}
    assert opened == set()
    assert found["beyond"] == []


def test_code_is_refused_on_a_text_that_it_could_read_with_one_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")
    part = home / "workspace/modules/activation/mine.py"
    part.parent.mkdir(parents=True)
    part.write_text(
        "from foundry.modules.activation import ActivationConfig\n"
        "from foundry.modules.feedforward import Plain\n"
        "class Config(ActivationConfig):\n"
        "    def build(self, width):\n"
        "        return Plain(width, self.ratio, lambda x: x.relu() ** 3)\n"
    )
    standard = Path(json.__file__).parent
    for source in ("builtin:python", f"file:{standard}"):
        baseline = Recipe.load(write_tiny(home / "other.yaml", data__source=source))
        with small_lab() as lab, pytest.raises(RequestError, match=r"data\.in_reach.* can be read") as caught:
            lab.engine.measure(mutate(baseline, "activation:mine")[0], 300)
        assert "\n" not in str(caught.value)


def test_another_name_of_a_text_in_reach_is_in_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link, apart = tmp_path / "real", tmp_path / "link", tmp_path / "apart"
    readable = tmp_path / "readable"
    readable.mkdir()
    real.write_text("text")
    apart.write_text("text")
    os.link(real, readable / "again")
    link.symlink_to(readable / "again")
    from foundry.sandbox import reach

    monkeypatch.setattr(reach, "code_paths", lambda: (readable,))
    reach._files.cache_clear()
    assert [in_reach([path]) for path in (real, link, apart)] == [real, link, None]
    reach._files.cache_clear()


def test_of_pythons_own_library_the_prose_is_out_of_reach() -> None:
    assert in_reach([Path(textwrap.__file__)]), "the control: what a run may import"
    assert not in_reach([Path(topics.__file__), Path(textwrap.__file__).parent / "LICENSE.txt"])
