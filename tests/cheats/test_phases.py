"""What a contestant can see of why it runs: the same in screening, rehearsal, certification and re-measurement."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry import sandbox
from foundry.compare import calibrate, comparison
from foundry.compare.comparison import Question
from foundry.compare.match import Arm
from foundry.compare.screen import screen
from foundry.execute.executor import Ended
from foundry.ledger.weights import run_folder
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.stats.sequential_test import Plan
from tests.home import small_lab

pytestmark = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
TIERS = [tier for tier in ("landlock", "bubblewrap") if sandbox.probe().at_least(tier)]
LOOK = '''"""Looks around where it is built for training, and prints what it sees. May not: need to be honest."""
import json, os, resource, stat, sys
from multiprocessing import forkserver, process, resource_tracker
import torch.nn.functional as F
from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


def plain(value, depth=4):
    if isinstance(value, dict) and depth:
        return {str(key): plain(each, depth - 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [plain(each, depth - 1) for each in value]
    return value if isinstance(value, (str, int, float, bool)) else type(value).__name__


def limit(number):
    try:
        return resource.getrlimit(number)
    except OSError:
        return ["refused"]


def seen():
    files, frames, frame = {}, [], sys._getframe()
    for number in range(256):
        try:
            kind = stat.S_IFMT(os.fstat(number).st_mode)
        except OSError:
            continue
        try:
            files[number] = [kind, os.readlink(f"/proc/self/fd/{number}")]
        except OSError:
            files[number] = [kind, ""]
    while frame is not None:
        frames.append([frame.f_code.co_name, {key: plain(frame.f_locals[key]) for key in sorted(frame.f_locals)
                       if key not in ("seen", "files", "frames", "frame", "self", "number", "kind")}])
        frame = frame.f_back
    limits = {name: limit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")}
    said = {"environ": dict(os.environ), "cwd": os.getcwd(), "argv": [sys.argv, sys.orig_argv], "files": files,
            "command": open("/proc/self/cmdline").read(), "limits": limits, "frames": frames, "id": os.getuid(),
            "folder": os.listdir(os.getcwd()), "server": plain(vars(forkserver._forkserver)),
            "tracker": plain(vars(resource_tracker._resource_tracker)),
            "process": plain(vars(process.current_process())),
            "above": plain(vars(process.parent_process() or object)),
            "modules": sorted(name for name in sys.modules if name.startswith("foundry"))}
    print("SEEN " + json.dumps(said), flush=True)


class Config(ActivationConfig):
    def build(self, width):
        if any(name.endswith("taken_up") for name in names()):
            seen()
        return Plain(width, self.ratio, F.gelu)


def names():
    frame = sys._getframe()
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back
'''
IDENTITY = re.compile(r"\b[0-9a-f]{16,64}\b")
OWN = ("steps", "seed", "started", "parent", "line")
"""A run's own numbers. Of `steps` a rehearsal has the baseline's."""
MEMORY = ("RLIMIT_DATA", "RLIMIT_AS")


def sights(lab: Any) -> list[dict[str, Any]]:
    """What was printed in every run folder that there is."""
    lines = [line for log in Path("runs").glob("*/log.txt") for line in log.read_text().splitlines()]
    return [json.loads(line.removeprefix("SEEN ")) for line in lines if line.startswith("SEEN ")]


def masked(value: Any, key: str = "") -> Any:
    """A sight without what is a run's own: its id, its seed, the numbers of processes, pipes and memory addresses."""
    if isinstance(value, dict):
        return {name: masked(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [masked(each, key) for each in value]
    if key in OWN or key in MEMORY:
        return type(value).__name__
    if isinstance(value, str) and value.startswith('{"order"'):  # bubblewrap's new Python is told by its arguments
        return masked(json.loads(value))
    if isinstance(value, str) and "\0" in value:
        return masked(value.split("\0"), key)
    if isinstance(value, str):
        return re.sub(r"\[\d+\]", "[n]", IDENTITY.sub("ID", value))
    return value


def differences(sights: list[dict[str, Any]]) -> list[str]:
    """Where a sight isn't like the first, and how."""
    first, *others = (masked(sight) for sight in sights)
    return sorted({line for other in others for line in _unlike(first, other, "")})


def _unlike(ours: Any, theirs: Any, at: str) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return [line for key in ours for line in _unlike(ours[key], theirs[key], f"{at}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for i, pair in enumerate(zip(ours, theirs, strict=True)) for line in _unlike(*pair, f"{at}.{i}")]
    return [] if ours == theirs else [f"{at}: {ours!r:.200} | {theirs!r:.200}"]


def run_out(pool: Any, arm: Arm, warm: int) -> float:
    """A rehearsal that isn't cut short, for its log; every step took a second."""
    while not any(isinstance(event, Ended) for event in pool.poll()):
        pass
    return 1.0


@pytest.mark.parametrize("tier", TIERS)
def test_no_phase_looks_like_another_by_anything_that_code_can_see(
    tier: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", tier)
    monkeypatch.setattr(calibrate, "_timed", run_out)
    monkeypatch.setattr(calibrate.shutil, "rmtree", lambda *given, **named: None)  # a rehearsal's log is to be read
    monkeypatch.setattr(comparison.verdict, "remeasure", lambda found, *given: found)
    monkeypatch.setattr(comparison, "_is_of_code", lambda question: False)  # no second text is asked for
    certify = comparison.certify
    monkeypatch.setattr(comparison, "certify", lambda *given: replace(certify(*given), word="better"))
    part = home / "workspace/modules/activation/looks.py"
    part.parent.mkdir(parents=True)
    part.write_text(LOOK)
    plan: dict[str, Any] = {"rules": vars(Plan(0.25, 0.05, 3)), "seeds": [2**62 + 3, 5, 7], "remeasure": [2**61 + 1]}
    phases: dict[str, list[dict[str, Any]]] = {}

    def after(phase: str) -> None:
        known = [sight for seen in phases.values() for sight in seen]
        phases[phase] = [sight for sight in sights(lab) if sight not in known]

    with small_lab() as lab:
        baseline = lab.arm_of(Recipe.load(home / "experiments/baseline.yaml"))
        recipe = mutate(baseline.recipe, "activation:looks")[0]
        candidate, match = calibrate.candidate_arm(lab, baseline, recipe, "tokens")
        seeds = lab.screening_seeds((baseline.recipe, recipe), [1])
        screen(lab, baseline, [("activation:looks", candidate, match)], seeds)
        after("screening")
        calibrate.candidate_arm(lab, baseline, recipe, "seconds")
        after("rehearsal")
        question = Question(baseline, candidate, match, "certification")
        comparison._answer(lab, question, "an identity", plan, lambda *pair: None)
        after("certification and re-measurement")
        for seed in (plan["seeds"][0], plan["remeasure"][0]):
            assert "SEEN" in (run_folder(lab.spec(candidate, seed).id) / "log.txt").read_text()
    assert [len(seen) >= least for seen, least in zip(phases.values(), (1, 2, 2), strict=True)] == [True] * 3
    everything = [sight for seen in phases.values() for sight in seen]
    assert "\n".join(differences(everything)) == ""
    for name in MEMORY:
        limits = [sight["limits"][name][0] for sight in everything]
        numbers = [each for each in limits if each != "refused"] or [0]
        assert max(numbers) - min(numbers) < 64 << 20, "but for what the process has already, the same"
    told = {**everything[0], "environ": {**everything[0]["environ"], "HOME": "/runs/timing-17/sandbox"}}
    assert [line.partition(":")[0] for line in differences([everything[0], told])] == [".environ.HOME"]
