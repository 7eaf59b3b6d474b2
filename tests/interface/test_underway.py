"""ps, stop, clean, curve, and several comparisons: what goes on, ended from outside, and what it leaves."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry.documents.campaign import Campaign
from foundry.interface.cli import main
from foundry.ledger import stops
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger
from foundry.ledger.weights import Hold, run_folder, weights_folder
from tests import schema
from tests.home import write_tiny
from tests.interface.test_commands import SMALL, start
from tests.ledger.plain import FACTS, SCORE, a_run

DEAD = "gone:1:1"


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    assert code == 0 or err.count("\n") == 1, err
    return json.loads(out)


def test_what_runs_is_seen_and_stopped_from_another_shell_and_says_who_stopped_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny(Path("experiments/long.yaml"), budget__tokens=64 * 400_000)
    process = start("-m", "foundry", "train", "experiments/long.yaml", *SMALL)
    deadline = time.monotonic() + 120
    while not (seen := told(capsys, "ps"))["runs"] or seen["runs"][0]["step"] is None:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    (worker,), (run,) = seen["processes"], seen["runs"]
    assert worker["pid"] == run["pid"] == process.pid and worker["runs"] == [run["run"]]
    assert (
        "train experiments/long.yaml" in schema.text(worker["command"])
        and worker["campaign"] is None
        and worker["user"]
    )
    assert 0 < run["tokens"] < run["budget_tokens"] and run["eta_seconds"] > 0 and run["since_unix"] <= time.time()
    assert told(capsys, "stop", "0123456789ab", code=2)["error"]["choices"] == [run["run"][:12], str(process.pid)]
    stopped = told(capsys, "stop", run["run"][:8], "--who", "ann")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped by ann, with foundry stop" in err and "the same command" in err
    assert stopped["ended"] and stopped["runs"] == [run["run"]] and weights_folder(run["run"]).is_dir()
    assert told(capsys, "ps") == {"schema": 2, "processes": [], "runs": []}
    assert foundry.Project(".").log().runs[0].status == "queued"
    assert told(capsys, "stop", code=2)["error"]["code"] == "stop.nothing"


def test_what_a_killed_process_left_is_not_shown_as_running_and_nobody_else_is_stopped(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open() as ledger:
        ledger.runs.claim(a_run(ledger))
        assert told(capsys, "ps")["runs"], "else this test sees nothing"
        assert told(capsys, "stop", code=2)["error"]["code"] == "stop.myself"
        ledger._file._connection.execute("UPDATE runs SET owner = ?", (DEAD,))
    assert told(capsys, "ps")["processes"] == []
    monkeypatch.setattr(stops.signal, "pidfd_send_signal", lambda *to: pytest.fail(f"a signal to {to}"))
    for owner in (Owner("gone", os.getppid(), 1), Owner("gone", 2**22 - 1, 1)):  # another's number, and nobody's
        with pytest.raises(foundry.FoundryError, match=r"stop\.gone"):
            stops.stop(owner, "ann", 1.0)
    assert stops.asked() == ""


def test_a_campaign_is_shown_with_its_file_and_stopped_by_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open() as ledger:
        ledger.campaigns.append("experiments/baseline.yaml", ledger.campaigns.begin(), {"kind": "opened"})
    (process,) = told(capsys, "ps")["processes"]
    assert process["campaign"] == "experiments/baseline.yaml" and process["pid"] == os.getpid()
    for name in ("experiments/baseline.yaml", "./experiments/baseline.yaml", str(os.getpid())):
        assert told(capsys, "stop", name, code=2)["error"]["code"] == "stop.myself"
    assert told(capsys, "stop", "experiments/other.yaml", code=2)["error"]["code"] == "stop.not_running"


def trained(ledger: Ledger, days: float, **values: Any) -> str:
    """A run that ended so many days ago and has weights."""
    run = a_run(ledger, **values)
    ledger.runs.trained(run, ledger.runs.claim(run) or 0, {**FACTS, "weights_bytes": 1000})
    ledger.runs.add_score(run, "validation", SCORE)
    ledger._file._connection.execute("UPDATE runs SET finished = finished - ? WHERE id = ?", (days * 86400, run))
    weights_folder(run).mkdir(parents=True)
    (weights_folder(run) / "model.safetensors").write_bytes(bytes(1000))
    return run


def test_clean_removes_weights_that_nobody_needs_and_no_record_and_nothing_in_use(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open() as ledger:
        old, new, used, champion = (trained(ledger, days, lr=i) for i, days in enumerate((9.0, 1.0, 9.0, 9.0)))
        second = trained(ledger, 8.0, lr=3, seed=2)  # of the champion's recipe
        recipe = ledger.runs.get(champion)["recipe"]
        monkeypatch.setattr("foundry.ledger.verdicts.Promotions.champions", lambda self, most: [recipe])
        weights_folder(waiting := a_run(ledger, lr=9)).mkdir(parents=True)
        ledger.runs.release(waiting, ledger.runs.claim(waiting) or 0)
        before = ledger._file.rows("SELECT count(*) AS n, max(finished) AS last FROM runs")
    planned = told(capsys, "clean", "--dry-run")
    assert [run["run"] for run in planned["runs"]] == [used, old] and planned["freed_bytes"] == 2000
    assert weights_folder(old).is_dir()
    with Hold(used):
        assert [run["run"] for run in told(capsys, "clean")["runs"]] == [old]
    assert not weights_folder(old).exists() and weights_folder(used).is_dir() and run_folder(old).is_dir()
    assert told(capsys, "clean")["freed_bytes"] == 1000 and told(capsys, "clean")["runs"] == []
    gone = told(capsys, "clean", "--keep", "champions", "--older", "0")
    assert {run["run"] for run in gone["runs"]} == {new, champion}
    assert weights_folder(second).is_dir() and weights_folder(waiting).is_dir() and gone["left_bytes"] == 1000
    assert told(capsys, "clean", "--keep", "all", "--older", "0")["runs"] == []
    assert gone["standing_rule"] and "one run of each champion" in gone["rule"]
    with Ledger.open() as ledger:
        assert ledger._file.rows("SELECT count(*) AS n, max(finished) AS last FROM runs") == before
    for wrong in ("d", "7", "-1d", "1.5h", "7d ", "٣d", "9999999999d"):
        assert told(capsys, "clean", "--older", wrong, code=2)["error"]["code"] == "clean.older"


def test_a_curve_is_drawn_in_the_terminal_and_as_a_picture(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open() as ledger:
        one, two, bare = a_run(ledger, lr=1), a_run(ledger, lr=2), a_run(ledger, lr=3)
    for run, slope in ((one, 1.0), (two, 2.0)):
        run_folder(run).mkdir(parents=True)
        lines = (json.dumps({"step": i, "loss": 5.0 - slope * i / 1000}) for i in range(1, 1001))
        (run_folder(run) / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    document = told(capsys, "curve", one, two, "--png", "a.png")
    assert [curve["run"] for curve in document["curves"]] == [one, two] and document["png"] == "a.png"
    assert all(len(curve["steps"]) <= 400 and curve["steps"][-1] == 1000 for curve in document["curves"])
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert main(["curve", one, two]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "*" in "".join(lines[:16]) and lines[15].rstrip().endswith("o") and "1000 steps" in lines[17]
    assert told(capsys, "curve", bare, code=2)["error"]["code"] == "curve.nothing"
    assert told(capsys, "curve", "zzz", code=2)["error"]["code"] == "show.unknown"


def test_several_are_compared_with_the_first_each_by_itself_and_all_are_read_first(
    instant: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lr in (("b", 1e-4), ("c", 1e-3)):
        write_tiny(Path(f"experiments/{name}.yaml"), name=name, train__optimizer__lr=lr, budget__tokens=64 * 32)
    base, rules = "experiments/baseline.yaml", ("--max-pairs", "3", "--alpha", "0.2", *SMALL)
    several = told(capsys, "compare", base, "experiments/b.yaml", "experiments/c.yaml", *rules)["comparisons"]
    assert [each["arms"][1]["name"] for each in several] == ["b", "c"]
    alone = told(capsys, "compare", base, "experiments/c.yaml", *rules)
    assert {**alone, "asked": 0} == {"schema": 2, **several[1], "asked": 0}
    called = foundry.Project(".").compare(base, "experiments/b.yaml", "experiments/c.yaml", max_pairs=3, alpha=0.2,
                                          judged_bytes=2048, device="cpu")  # fmt: skip
    assert len(called["comparisons"]) == 2
    runs = len(foundry.Project(".").log(limit=9999).runs)
    assert told(capsys, "compare", base, "space.yaml", "nothing.yaml", *rules, code=2)["error"]["code"]
    assert len(foundry.Project(".").log(limit=9999).runs) == runs
