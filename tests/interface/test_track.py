"""`foundry track`: what runs have left is sent to a tracker once, whatever kills the sender. The tracker is a fake one
that keeps what it is told in a file; the real four are read back by `python -m clients.trackers`."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry.documents.campaign import Campaign
from foundry.interface.cli import main
from foundry.interface.track import export, runs
from foundry.interface.track.tracker import Point, Run
from foundry.ledger.ledger import Ledger
from foundry.ledger.weights import run_folder
from tests import schema
from tests.interface.test_underway import told
from tests.ledger.plain import FACTS, SCORE, a_run

INTO = Path("kept")
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\n../../up"


class Killed(BaseException):
    """As a kill: nothing that comes after it is done."""


class Fake:
    """A line for each thing that it is told, in the order told."""

    tells = True

    def __init__(self, into: Path) -> None:
        self.into = into

    def begin(self, run: Run) -> int | None:
        self.file = self.into / f"{run.run}.jsonl"
        return max((line["step"] for line in sent(run.run, self.into)), default=0) if self.tells else None

    def points(self, points: list[Point]) -> None:
        self._write(*({"step": point.step, **point.values} for point in points))

    def finish(self, run: Run) -> None:
        self._write({"name": run.name, "status": run.status, "tags": run.tags, "summary": run.summary, **run.config})

    def _write(self, *lines: dict[str, Any]) -> None:
        with open(self.file, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


class Forgetful(Fake):
    tells = False


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "load", lambda name: Forgetful if name == "wandb" else Fake)


def lines(run: str, into: Path = INTO) -> list[dict[str, Any]]:
    file = into / f"{run}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def sent(run: str, into: Path = INTO) -> list[dict[str, Any]]:
    return [line for line in lines(run, into) if "step" in line]


def said(run: str) -> list[dict[str, Any]]:
    return [line for line in lines(run) if "step" not in line]


def losses(run: str, steps: range, mode: str = "w") -> None:
    (file := run_folder(run) / "metrics.jsonl").parent.mkdir(parents=True, exist_ok=True)
    with open(file, mode) as out:
        out.writelines(json.dumps({"step": i, "loss": 5.0 / i, "lr": 1e-3, "seconds": i / 10}) + "\n" for i in steps)


def begun(ledger: Ledger, seed: int = 1, **values: Any) -> str:
    """A run that this process trains."""
    run = a_run(ledger, seed, **values)
    assert ledger.runs.claim(run) is not None
    return run


def test_what_was_sent_is_not_sent_again_and_new_points_follow(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open() as ledger:
        run = begun(ledger)
        a_run(ledger, 2)  # nobody has begun it: there is nothing to tell
    losses(run, range(1, 401))
    first = told(capsys, "track", "tensorboard", "--into", str(INTO))
    assert (first["runs"], first["points"], first["of_runs"]) == (1, 400, 1) and first["into"] == str(INTO.absolute())
    assert said(run)[-1]["status"] == "running"
    again = told(capsys, "track", "tensorboard", "--into", str(INTO))
    assert (again["runs"], again["points"]) == (0, 0)
    losses(run, range(401, 431), "a")
    with open(run_folder(run) / "metrics.jsonl", "a") as file:
        file.write('{"step": 431, "lo')  # a line that isn't whole yet
    assert told(capsys, "track", "tensorboard", "--into", str(INTO))["points"] == 30
    assert [line["step"] for line in sent(run)] == list(range(1, 431))
    assert sent(run)[0] == {"step": 1, "train/loss": 5.0, "train/lr": 1e-3}
    # another folder is another tracker's, with cursors of its own
    assert told(capsys, "track", "tensorboard", "--into", "other")["points"] == 430


def test_a_run_that_went_back_to_its_checkpoint_is_followed_without_a_step_twice(home: Path) -> None:
    with Ledger.open() as ledger:
        run = begun(ledger)
    project = foundry.Project(".")
    losses(run, range(1, 101))
    assert project.track("mlflow", into=INTO).points == 100
    losses(run, range(1, 51))
    assert project.track("mlflow", into=INTO).points == 0
    losses(run, range(51, 171), "a")
    (run_folder(run) / "metrics.jsonl").write_bytes(b" " * 300 + (run_folder(run) / "metrics.jsonl").read_bytes())
    assert project.track("mlflow", into=INTO).points == 70
    assert [line["step"] for line in sent(run)] == list(range(1, 171))


@pytest.mark.parametrize(("tracker", "doubled"), [("trackio", 0), ("wandb", runs.BATCH)])
def test_a_kill_between_points_and_cursor_doubles_nothing_or_the_last_batch_where_the_tracker_cannot_tell(
    home: Path, monkeypatch: pytest.MonkeyPatch, tracker: str, doubled: int
) -> None:
    with Ledger.open() as ledger:
        run = begun(ledger)
    losses(run, range(1, 2 * runs.BATCH + 101))
    keep = export.Export._keep

    def killed(self: Any, run: str, cursor: Any) -> Any:
        if cursor.step == 2 * runs.BATCH:
            raise Killed
        return keep(self, run, cursor)

    with monkeypatch.context() as patch:
        patch.setattr(export.Export, "_keep", killed)
        with pytest.raises(Killed):
            foundry.Project(".").track(tracker, into=INTO)
    assert len(sent(run)) == 2 * runs.BATCH, "killed before the cursor knew, or this test sees nothing"
    foundry.Project(".").track(tracker, into=INTO)
    steps = [line["step"] for line in sent(run)]
    assert len(steps) - len(set(steps)) == doubled and sorted(set(steps)) == list(range(1, 2 * runs.BATCH + 101))
    (INTO / ".foundry" / f"{run}.json").write_text('{"at": -1, "step": "x"}')  # no cursor: as if it were lost
    if not doubled:
        assert foundry.Project(".").track(tracker, into=INTO).points == 0


def test_what_a_stranger_wrote_is_a_value_and_never_a_name(home: Path) -> None:
    with Ledger.open() as ledger:
        run = begun(ledger, name=HOSTILE, model={"width": 16, "kinds": [HOSTILE], "none": {}, "big": 2**70})
    metrics = run_folder(run) / "metrics.jsonl"
    losses(run, range(1, 3))
    rows: list[Any] = [
        {"step": 3, "loss": 1.0, HOSTILE: 2.0, "lr": "x", "tokens": True, "seconds": -1},
        {"step": 4, "loss": float("nan")}, {"step": 2**60, "loss": 1.0}, {"step": 4.5, "loss": 1.0}, {"loss": 1.0},
        {"step": 2, "loss": 9.0}, [], "x", {"step": 5, "loss": 10**400}, {"step": 6, "loss": 1.0},
    ]  # fmt: skip
    with open(metrics, "a") as file:
        file.write("[" * 5000 + "\n" + json.dumps({"step": 5, "loss": 1.0, "x": "y" * 2 * runs.LONGEST}) + "\n\xff\n")
        file.writelines(json.dumps(row) + "\n" for row in rows)
    foundry.Project(".").track("trackio", into=INTO)
    assert [line["step"] for line in sent(run)] == [1, 2, 3, 6] and sent(run)[2] == {"step": 3, "train/loss": 1.0}
    (told,) = said(run)
    assert told["name"] == "<img src=x onerror=alert(1)>\\u001b[31m ../../up" and told["model.width"] == 16
    assert told["model.big"] == str(2**70) and told["model.none"] == "{}" and "model.kinds" in told
    assert "\x1b" not in json.dumps(told) and all(str(value).isprintable() for value in told.values())
    assert {file.name for file in INTO.iterdir()} == {".foundry", f"{run}.jsonl"}
    metrics.unlink()
    (home / "secret").write_text(json.dumps({"step": 9, "loss": 9.0}) + "\n")
    metrics.symlink_to(home / "secret")
    assert foundry.Project(".").track("trackio", into=INTO).points == 0, "a link is no file of the run's"


def test_tags_and_official_scores_are_the_ledgers_and_follow_when_they_change(promoted: Campaign) -> None:
    project = foundry.Project(".")
    assert project.track("tensorboard", into=INTO).runs == len(project.log(limit=10_000).runs)
    by_recipe: dict[str, set[str]] = {}
    for row in project.log(limit=10_000).runs:
        (told,) = said(row.run)
        status = "interrupted" if row.status == "queued" else row.status
        assert (told["summary"].get("val_bpb"), told["status"]) == (row.val_bpb, status)
        by_recipe.setdefault(row.recipe, set()).add(" ".join(told["tags"]))
    assert all(len(tags) == 1 for tags in by_recipe.values())
    (champion,) = [recipe for recipe, (tags,) in by_recipe.items() if "champion" in tags]
    assert champion == promoted.champion and by_recipe[champion] == {"champion certified"}
    assert project.track("tensorboard", into=INTO).runs == 0
    project.revert()
    changed = project.track("tensorboard", into=INTO)
    assert 0 < changed.runs < changed.of_runs
    runs_of = [row.run for row in project.log(limit=10_000).runs if row.recipe == champion]
    assert {" ".join(said(run)[-1]["tags"]) for run in runs_of} == {"certified"}


def test_a_run_whose_trainer_was_killed_is_interrupted_and_one_that_ended_has_its_score(home: Path) -> None:
    with Ledger.open() as ledger:
        dead, done = begun(ledger, 1), a_run(ledger, 2)
        fence = ledger.runs.claim(done)
        assert fence is not None
        with ledger._file.writing() as write:
            write.execute("UPDATE runs SET owner = 'gone:1:1' WHERE id = ?", (dead,))
        losses(dead, range(1, 11))
        project = foundry.Project(".")
        project.track("mlflow", into=INTO)
        assert (said(dead)[-1]["status"], said(done)[-1]["status"]) == ("interrupted", "running")
        assert "val_bpb" not in said(done)[-1]["summary"]
        ledger.runs.trained(done, fence, FACTS)
        ledger.runs.add_score(done, "validation", SCORE)
    assert project.track("mlflow", into=INTO).runs == 1
    assert said(done)[-1]["summary"]["val_bpb"] == SCORE["bpb"] and len(said(dead)) == 1


FOLLOWS = """
import sys
from foundry.interface import cli
from foundry.interface.track import export
from tests.interface.test_track import Fake
export.load, export.TURN_SECONDS = lambda name: Fake, 0.05
sys.exit(cli.main(sys.argv[1:]))
"""


def test_following_goes_on_with_new_points_after_a_kill_and_ends_by_an_interrupt_with_130(home: Path) -> None:
    with Ledger.open() as ledger:
        run = begun(ledger)
    losses(run, range(1, 11))

    def follow(at_least: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FOLLOWS, "track", "mlflow", "--into", str(INTO), "--follow"]
        root = str(Path(__file__).resolve().parents[2])
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})
        until(process, at_least)
        return process

    def until(process: subprocess.Popen[str], at_least: int) -> None:
        deadline = time.monotonic() + 120
        while len(sent(run)) < at_least:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)

    first = follow(10)
    losses(run, range(11, 21), "a")
    until(first, 20)
    first.kill()
    first.communicate()
    losses(run, range(21, 31), "a")
    second = follow(30)
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 130 and "Traceback" not in err and err.splitlines()[-1].startswith("[interrupted]")
    assert [line["step"] for line in sent(run)] == list(range(1, 31)) and said(run)[-1]["status"] == "running"


def test_bad_requests_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(capsys, "track", "mlflow", "--into", str(INTO))["of_runs"] == 0  # no ledger is no error
    with open(INTO / ".foundry" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert told(capsys, "track", "mlflow", "--into", str(INTO), code=2)["error"]["code"] == "track.busy"
    Path("file").touch()
    assert main(["track", "mlflow", "--into", "file"]) == 1 and capsys.readouterr().err.count("\n") == 1
    assert told(capsys, "track", "comet", code=2)["error"]["code"] == "usage"
    with Ledger.open() as ledger:
        losses(begun(ledger), range(1, 3))
    monkeypatch.setattr(Fake, "points", lambda self, points: 1 / 0)
    error = told(capsys, "track", "mlflow", "--into", str(INTO), code=1)["error"]
    assert error["code"] == "track.failed" and "ZeroDivisionError" in schema.text(error["message"])
    monkeypatch.undo()
    monkeypatch.chdir(home)
    monkeypatch.setitem(sys.modules, "wandb", None)
    missing = told(capsys, "track", "wandb", code=2)["error"]
    assert (missing["code"], missing["hint"]) == ("track.no_package", "run `pip install 'foundry-train[track-wandb]'`")
