"""Which files a confined process can read besides what its policy names: of Python, its packages, the system.

Judged text may stand anywhere else on the machine, in a package too: so packages are named one by one, and of the
system only libraries. May not: enforce anything.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import foundry

_OWN = "foundry-train"
_NEEDED = ("torch", "numpy", "scipy", "pydantic", "safetensors", "tqdm")
"""Distributions; what they require comes with them, extras left out."""
_UNNEEDED: tuple[str, ...] = ("networkx", "jinja2", "fsspec", "setuptools")
"""What torch requires for its compiler and its hub, which agents' code doesn't get. networkx is a corpus, too."""
_PROSE = ("pydoc_data", "idlelib", "test", "ensurepip", "lib2to3", "turtledemo", "LICENSE.txt")
"""Of Python's own library: text, data and programs that no run needs."""
_SYSTEM = ("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_MACHINE = (
    "/proc/cpuinfo",
    *(f"/sys/devices/system/{kind}/{each}" for kind in ("cpu", "node") for each in ("online", "possible", "present")),
)
"""Not what is counted there: free memory of a node, idle time and clock of a processor."""


@functools.cache
def code_paths() -> tuple[Path, ...]:
    """Each file and tree, none inside another, links resolved, folders of packages and prose left out."""
    unneeded = (_standard() / name for name in _PROSE)
    hidden = tuple(path.resolve() for path in (*package_folders(), *unneeded))
    parts = (part for path in trees() if path.exists() for part in _without(path.resolve(), hidden))
    return outermost((*parts, *(path.resolve() for path in packages())))


@functools.cache
def trees() -> tuple[Path, ...]:
    """Python's own and the system's; folders of packages may be inside."""
    libraries = [Path(sys.base_prefix) / "lib", *map(Path, _LIBRARIES)]
    found = [*_interpreter(), _standard(), *(part for folder in libraries for part in _shared(folder))]
    return tuple(dict.fromkeys((*found, *map(Path, (*_SYSTEM, *_MACHINE)))))


def _interpreter() -> Iterator[Path]:
    """The program, each link on the way to it, and what says that it is a virtual environment's."""
    yield Path(sys.prefix) / "pyvenv.cfg"
    program = Path(sys.executable)
    while True:
        yield program
        if not program.is_symlink():
            return
        program = program.parent / os.readlink(program)


def package_folders() -> tuple[Path, ...]:
    """Where packages are, of which none may be read that isn't named."""
    known = [*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, ("purelib", "platlib"))]
    systems = (each for folder in _LIBRARIES for each in Path(folder).glob("python3*/*-packages"))
    base = (_standard() / name for name in ("site-packages", "dist-packages"))
    return tuple(dict.fromkeys((*map(Path, known), *base, *systems)))


def module_folders() -> tuple[Path, ...]:
    """Where Python looks for modules, by their names."""
    return (_standard(), *package_folders())


def _standard() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _shared(folder: Path) -> Iterator[Path]:
    """Shared libraries, those for this machine and the loader's; the whole folder where a system doesn't part them."""
    machine = sysconfig.get_config_var("MULTIARCH")
    if str(folder) in _LIBRARIES and not (machine and (folder / machine).is_dir()):
        yield folder
        return
    yield from sorted(folder.glob("*.so*"))
    yield from (each for each in (folder / (machine or ""),) if machine and each.is_dir())


@functools.cache
def packages() -> tuple[Path, ...]:
    """The top of each package that a run needs, wherever it is installed, and Foundry itself."""
    found = [*map(Path, foundry.__path__), *_tops(_OWN)]
    waiting, known = list(_NEEDED), set(_UNNEEDED)
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        found += _tops(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            wanted = (line for line in importlib.metadata.requires(name) or () if "extra ==" not in line)
            waiting += [re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line, maxsplit=1)[0]).lower() for line in wanted]
    return tuple(dict.fromkeys(path for path in found if path.exists()))


def _tops(name: str) -> list[Path]:
    """What a distribution put right into the folder of packages, by its own record; modules' byte code too."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:  # required on other machines, or not installed as one
        return []
    record = distribution.read_text("RECORD")
    names = {_top(line.split(",")[0]) for line in record.splitlines()} if record else {distribution.name}
    return [Path(str(distribution.locate_file(each))) for each in sorted(names - {""})]


def _top(file: str) -> str:
    first, _, rest = file.strip('"').partition("/")
    return "" if first in ("..", "") else f"{first}/{rest}" if first == "__pycache__" else first


def in_reach(paths: Iterable[Path]) -> Path | None:
    """The first of these files and folders that a confined process could read, by this name or another."""
    readable = code_paths()
    for path in paths:
        real = path.resolve()
        if any(real.is_relative_to(each) for each in readable):
            return path
        if real.is_file() and (status := real.stat()).st_nlink > 1 and (status.st_dev, status.st_ino) in _files():
            return path
    return None


@functools.cache
def _files() -> frozenset[tuple[int, int]]:
    """Every file in reach, by what it is and not by its name: a file may have several."""
    tops = [path for path in code_paths() if not path.is_relative_to("/proc") and not path.is_relative_to("/sys")]
    inside = (Path(base, name) for top in tops for base, _, names in os.walk(top) for name in names)
    found = (os.stat(path) for path in (*tops, *inside) if path.exists())
    return frozenset((status.st_dev, status.st_ino) for status in found)


def outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each once, those inside another one left out; parents first."""
    kept: dict[Path, None] = {}
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not any(parent in kept for parent in (path, *path.parents)):
            kept[path] = None
    return tuple(kept)


def _without(path: Path, hidden: tuple[Path, ...]) -> Iterator[Path]:
    """The tree but for these folders: itself where none is inside."""
    if path in hidden:
        return
    if not any(folder.is_relative_to(path) for folder in hidden):
        yield path
        return
    for child in sorted(path.iterdir()):
        yield from _without(child, hidden)
