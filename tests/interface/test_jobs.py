"""start, wait, stop, jobs: commands that go on whatever becomes of who asked for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry.interface import job as process
from foundry.interface import jobs
from foundry.interface.cli import main
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger
from tests import schema
from tests.home import write_tiny
from tests.interface.test_commands import SMALL

LONG = ("train", "experiments/long.yaml", *SMALL)
ASKS = "import sys; from foundry.interface.cli import main; main(sys.argv[1:]); sys.stdin.read()"


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_job_outlives_who_asked_and_is_waited_for_seen_and_stopped_by_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny(Path("experiments/long.yaml"), name="long", budget__tokens=64 * 400_000)
    asker = subprocess.Popen([sys.executable, "-c", ASKS, "start", *LONG, "--key", "night", "--json"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert asker.stdout is not None
    asked = json.loads(b"".join(iter(asker.stdout.readline, b"}\n")) + b"}")
    asker.kill()
    asker.wait()
    assert asked["begun"] and asked["state"] == "running"
    assert told(capsys, "start", *LONG, "--key", "night") == {**asked, "begun": False}
    while not ((seen := told(capsys, "wait", "night", "--seconds", "0.5"))["runs"] and seen["said"]):
        assert seen["state"] == "running" and seen["result"] is None and seen["exit_code"] is None
    assert seen["runs"][0]["name"] == "long" and any("train long" in schema.text(line) for line in seen["said"])
    (worker,) = told(capsys, "ps")["processes"]
    assert (
        worker["job"] == asked["job"] and worker["pid"] == asked["pid"] and worker["runs"] == [seen["runs"][0]["run"]]
    )
    stopped = told(capsys, "stop", "night", "--who", "ann")
    assert stopped["ended"] and stopped["job"] == asked["job"]
    ended = told(capsys, "wait", asked["job"][:6], code=1)
    assert ended["state"] == "stopped" and ended["exit_code"] == 130 and ended["runs"] == []
    error = ended["result"]["error"]
    assert "stopped by ann" in schema.text(error["message"]) and error["code"] == "interrupted"
    assert "stopped by ann" in Path(ended["log"]).read_text()
    assert [each["state"] for each in told(capsys, "jobs")["jobs"]] == ["stopped"]
    assert told(capsys, "stop", "night", code=2)["error"]["code"] == "stop.not_running"


def test_what_a_job_answers_is_its_commands_own_document_and_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = told(capsys, "wait", told(capsys, "start", "train", "nofile.yaml")["job"], code=2)
    assert main(["train", "nofile.yaml", "--json"]) == 2
    assert failed["state"] == "failed" and failed["result"] == json.loads(capsys.readouterr().out)
    assert main(["wait", failed["job"]]) == 2 and "yaml.no_file" in capsys.readouterr().out
    assert main(["jobs"]) == 0 and "train nofile.yaml" in capsys.readouterr().out


def test_a_process_that_the_ledger_knows_nothing_of_does_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert process.main("0123456789ab", 1, ["train", "experiments/baseline.yaml", *SMALL]) == 0
    assert capsys.readouterr().out == "" and foundry.Project(".").log().runs == ()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian", "x"], "did you mean 'train'"),
        (["revert"], "can't be started so"),
        (["adopt", "norm:mine", "--yes"], "can't be started so"),
        (["train"], "Missing argument"),
        (["train", "x.yaml", "--sed", "3"], "did you mean '--seed'"),
        (["train", "x.yaml", "--seed", "-1"], "seed"),
        (["train", "x.yaml", "--key", ""], "--key"),
        (["sweep", "norm", "--help"], ""),
    ],
)
def test_what_can_not_be_started_is_said_at_once(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], line: str
) -> None:
    monkeypatch.setattr(jobs, "_spawn", lambda *about: pytest.fail("a process"))
    code = main(["start", *words])
    out, err = capsys.readouterr()
    assert (code == 0 and "Usage" in out) if not line else (code == 2 and line in err and err.count("\n") == 1)


def test_a_lost_job_says_how_it_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_spawn", lambda *about: jobs.folder(about[0]).mkdir(parents=True) or Owner("gone", 1, 1))
    assert main(["start", "sweep", "lr:2e-3 +x", "--promote", "--key", "two words"]) == 0
    assert main(["wait", "two words"]) == 1
    assert "goes on with: foundry start sweep 'lr:2e-3 +x' --promote --key 'two words'" in capsys.readouterr().out


def test_the_log_is_begun_anew_before_it_grows_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES", 1000)
    path = tmp_path / "log"
    with path.open("a") as file:
        log = process.Bounded(file, path)
        for i in range(500):
            print(f"line {i}", file=log)
        os.write(file.fileno(), b"a worker's word\n")
    kept = (tmp_path / "log.1").read_text() + path.read_text()
    assert len(kept) < 3000 and kept.endswith("line 499\na worker's word\n") and len(list(tmp_path.iterdir())) == 2


def test_what_a_job_says_is_told_in_words_as_it_comes(home: Path) -> None:
    (log := jobs.folder("j") / "log").parent.mkdir(parents=True)
    log.write_text('{"say": "before"}\n')
    heard = jobs._Log("j")
    lines = [{"run": "3fa9c1d20b77", "stage": "train", "name": "x", "seed": 2}, {"say": "  pair 1 of 3"},
             {"run": "3fa9c1d20b77", "stage": "train", "step": 3, "steps": 9, "loss": 1.25},
             {"run": "3fa9c1d20b77", "status": "done", "val_bpb": 2.5}, 5]  # fmt: skip
    with log.open("a") as file:
        file.write("".join(f"{json.dumps(line)}\n" for line in lines) + '{"say": "half')
    said = ["3fa9c1d2: train x, seed 2", "pair 1 of 3", "3fa9c1d2: step 3 of 9, loss 1.250",
            "3fa9c1d2: done, 2.5000 bits per byte", "5"]  # fmt: skip
    assert list(heard.news()) == said and list(heard.news()) == []
    with log.open("ab") as file:
        file.write(b' \xff a line"}\nno JSON\n')
    assert list(heard.news()) == ["half � a line", "no JSON"]
    log.write_text("anew\n")
    assert list(heard.news()) == [], "shorter than what was read: from its end on"
    assert heard.last() == ["anew"]


def test_the_newest_are_listed_a_page_at_a_time(home: Path) -> None:
    with Ledger.open() as ledger:
        for i in range(5):
            ledger.jobs.begin(["train", str(i)], None, lambda job, fence: Owner("gone", 1, 1))
    project = foundry.Project(".")
    pages = [project.jobs(limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[each.command[1] for each in page.jobs] for page in pages] == [["4", "3"], ["2", "1"], ["0"]]
    assert [page.more for page in pages] == [True, True, False]
