"""A stranger's first evening, from the wheel and again from the source distribution: `make check-wheel`.

Builds both, has them checked, installs each into a fresh environment and goes from `foundry init` to a promoted recipe
in an empty folder, on a tiny budget. What is installed must be the same before and after. Needs nothing but this
Python, its venv and a package index. May not: use anything of the checkout but what it builds.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("build==1.6.1", "twine==7.0.0", "check-wheel-contents==0.6.3")
REQUIRED = ("init", "data", "train", "compare", "sweep", "campaign", "lineage", "verify", "adopt", "report")
IF_THERE = ("export",)
"""Verbs that are tried where `foundry --help` has them."""
TINY = {"layers": 1, "width": 16, "context": 16, "heads": 2, "kv_heads": 2, "batch_size": 4, "tokens": 64 * 12}
SMALL = ("--judged-bytes", "2048", "--device", "cpu")
TRAPS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "FOUNDRY_CACHE", "FOUNDRY_RUNS", "FOUNDRY_WORKSPACE",
         "FOUNDRY_EXPERIMENTS", "FOUNDRY_KEYS", "XDG_CACHE_HOME", "XDG_STATE_HOME")  # fmt: skip


def main() -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="foundry-wheel-") as name:
        place = Path(name)
        for artifact in built(place):
            evening(artifact, place / artifact.suffix.lstrip("."))
    say(f"all of it holds ({time.monotonic() - started:.0f} s)")


def built(place: Path) -> list[Path]:
    """The wheel and the source distribution that it was built from, looked through."""
    python = environment(place / "tools")
    run([python, "-m", "pip", "install", "--quiet", *TOOLS])
    out = place / "dist"
    run([python, "-m", "build", "--outdir", str(out), str(ROOT)])
    files = sorted(out.iterdir(), key=lambda file: file.suffix, reverse=True)
    if [file.suffix for file in files] != [".whl", ".gz"]:
        sys.exit(f"[wheel.built] expected a wheel and a source distribution, there is {[file.name for file in files]}")
    run([python, "-m", "twine", "check", "--strict", *map(str, files)])
    run([str(Path(python).with_name("check-wheel-contents")), str(files[0])])
    shutil.copytree(out, ROOT / "dist", dirs_exist_ok=True)
    say(f"built and checked {', '.join(file.name for file in files)}; both are in dist/")
    return files


def evening(artifact: Path, place: Path) -> None:
    """Install it and go from an empty folder to a promoted recipe."""
    say(f"== from {artifact.name}")
    python = environment(place / "venv")
    run([python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(artifact)])
    project, bin = place / "empty", Path(python).parent
    project.mkdir()
    (place / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in TRAPS}
    surroundings = {**kept, "HOME": str(place / "home"), "PATH": f"{bin}:/usr/bin:/bin", "PYTHONSAFEPATH": "1"}

    def foundry(*arguments: str, code: int = 0) -> Any:
        """The document that the command prints, or the error where it is to fail."""
        done = run(["foundry", *arguments, "--json"], codes=(code,), cwd=project, env=surroundings)
        document = json.loads(done)
        return document["error"] if code else document

    where = run([python, "-c", "import foundry; print(foundry.__file__)"], cwd=project, env=surroundings).strip()
    packages = Path(where).parents[1]
    if place not in packages.parents or not (packages / "foundry" / "py.typed").exists():
        sys.exit(f"[wheel.elsewhere] {where} is not what was installed, or it has no py.typed")
    before = digests(packages)
    verbs = set(re.findall(r"^. ([a-z]+) ", run(["foundry", "--help"], cwd=project, env=surroundings), re.M))
    if missing := sorted(set(REQUIRED) - verbs):
        sys.exit(f"[wheel.verbs] `foundry --help` has no {', '.join(missing)}")
    run(["bash", "-o", "pipefail", "-c", "foundry-train kinds | head -1"], cwd=project, env=surroundings)

    document = foundry("init")
    for command in document["next"][:1]:
        foundry(*command.split()[1:])
    baseline = project / "experiments" / "baseline.yaml"
    text = baseline.read_text()
    for key, value in TINY.items():
        text, times = re.subn(rf"^( +{key}:) \S+", rf"\1 {value}", text, flags=re.M)
        assert times == 1, key
    baseline.write_text(text)
    expect(foundry("train", "experiments/baseline.yaml", *SMALL), status="done")
    mutated = foundry("mutate", "lr:1e-2")["file"]
    compared = foundry("compare", "experiments/baseline.yaml", mutated, "--max-pairs", "3", "--alpha", "0.2", *SMALL)
    expect(compared, verdict="better")
    swept = foundry("sweep", "lr:1e-2", "--promote", *SMALL)
    expect(swept, promoted="lr:1e-2")
    if "lr: 0.01 " not in baseline.read_text() and "lr: 1e-2 " not in baseline.read_text():
        sys.exit("[wheel.promoted] the baseline file has not the promoted learning rate")
    expect(foundry("campaign", "--runs", "4", *SMALL), ended="over")
    expect(foundry("verify"), ok=True)
    part = project / "workspace" / "modules" / "norm" / "mine.py"
    part.parent.mkdir(parents=True)
    part.write_text("")
    expect(foundry("adopt", "norm:mine", "--force", "--yes", code=2), code="adopt.no_checkout")
    expect(foundry("init", code=2), code="init.exists")
    foundry("report", "--html", "evening.html")
    if "uPlot" not in (page := (project / "evening.html").read_text()) or "lr:1e-2" not in page:
        sys.exit("[wheel.report] the report lacks its plots or what was promoted")
    if "export" in verbs:
        run(["foundry", "export", "champion", "--to", "exported"], cwd=project, env=surroundings)
        if not (project / "exported" / "model.safetensors").exists():
            sys.exit("[wheel.export] no weights in the exported folder")
    for verb in IF_THERE:
        say(f"{verb}: {'tried' if verb in verbs else 'not there, so not tried'}")
    if changed := sorted({file for file, _ in before.items() ^ digests(packages).items()}):
        sys.exit(f"[wheel.touched] the installed packages were changed: {', '.join(changed[:8])}")
    say(f"the {len(before):,} installed files are as they were")


def environment(folder: Path) -> str:
    """A fresh virtual environment's Python."""
    run([sys.executable, "-m", "venv", str(folder)])
    return str(folder / "bin" / "python")


def digests(folder: Path) -> dict[str, str]:
    """Each file below the folder, with a hash of its content."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def expect(document: dict[str, Any], **values: Any) -> None:
    for key, value in values.items():
        if document[key] != value:
            sys.exit(f"[wheel.answer] {key} is {document[key]!r} and not {value!r}:\n{json.dumps(document)[:4000]}")


def run(command: Sequence[str], codes: Sequence[int] = (0,), **how: Any) -> str:
    """What the command prints; ends everything where its exit code is another."""
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, **how)
    shown = " ".join(Path(word).name if "/" in word else word for word in command)
    if done.returncode not in codes:
        sys.exit(f"[wheel.failed] {shown}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    say(f"{time.monotonic() - begun:6.1f} s  {shown if len(shown) < 100 else shown[:99] + '…'}")
    return done.stdout


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
