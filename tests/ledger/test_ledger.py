"""What the ledger promises of recipes, runs and scores: once, fenced, and never stuck."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.core.errors import WorkError
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger
from tests.ledger.plain import FACTS, SCORE, PlainRecipe, PlainSpec, a_run

CLAIM_AND_DIE = """
import os, sys
from pathlib import Path
from foundry.ledger.ledger import Ledger
print(Ledger.open(Path(sys.argv[1])).runs.claim(sys.argv[2]), flush=True)
os.kill(os.getpid(), 9)
"""


def claimed_by_the_dead(path: Path, run: str) -> int:
    """Another process claims `run` and is killed with -9; the fence that it had."""
    done = subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, str(path), run], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    return int(done.stdout)


def test_a_run_goes_from_queued_to_done(ledger: Ledger) -> None:
    run = a_run(ledger)
    assert ledger.runs.get(run)["status"] == "queued"
    fence = ledger.runs.claim(run)
    assert fence == 1 and ledger.runs.get(run)["status"] == "running"
    ledger.runs.trained(run, fence, FACTS)
    row = ledger.runs.get(run)
    assert (row["status"], row["train_loss"], row["flops"], row["owner"]) == ("trained", 1.5, 1e9, None)
    ledger.runs.add_score(run, "validation", SCORE)
    assert ledger.runs.get(run)["status"] == "done"
    score = ledger.runs.score(run, "validation")
    assert score is not None and score["bpb"] == 2.5 and ledger.runs.score(run, "test") is None


def test_asking_again_for_a_known_run_changes_nothing(ledger: Ledger) -> None:
    run = a_run(ledger)
    ledger.runs.claim(run)
    assert a_run(ledger) == run
    assert ledger.runs.get(run)["status"] == "running"


def test_a_living_owner_keeps_its_lease(ledger: Ledger, path: Path) -> None:
    run = a_run(ledger)
    assert ledger.runs.claim(run) == 1
    with Ledger.open(path) as other:
        assert other.runs.claim(run) is None


def test_kill_9_of_the_owner_frees_the_run_at_once_and_counts_the_attempt(ledger: Ledger, path: Path) -> None:
    run = a_run(ledger)
    assert claimed_by_the_dead(path, run) == 1
    assert ledger.runs.get(run)["status"] == "running"  # nobody was left to say otherwise
    assert ledger.runs.claim(run) == 2
    assert ledger.runs.get(run)["attempts"] == 2


def test_a_writer_whose_lease_was_lost_changes_nothing(ledger: Ledger, path: Path) -> None:
    run = a_run(ledger)
    stale = claimed_by_the_dead(path, run)
    fresh = ledger.runs.claim(run)
    assert fresh is not None
    before = ledger.runs.get(run)
    with pytest.raises(WorkError, match=r"ledger\.fenced"):
        ledger.runs.trained(run, stale, {**FACTS, "train_loss": 9.0})
    with pytest.raises(WorkError, match=r"ledger\.fenced"):
        ledger.runs.fail(run, stale, "nan")
    with pytest.raises(WorkError, match=r"ledger\.fenced"):
        ledger.runs.fail(run, None, "nan")
    assert ledger.runs.release(run, stale) is False
    assert ledger.runs.get(run) == before
    ledger.runs.trained(run, fresh, FACTS)
    assert ledger.runs.get(run)["train_loss"] == 1.5


def test_without_the_fence_the_stale_writer_would_have_won(ledger: Ledger, path: Path) -> None:
    """The negative control of the test above: the same write with the fence left out of its condition."""
    run = a_run(ledger)
    claimed_by_the_dead(path, run)
    ledger.runs.claim(run)
    with sqlite3.connect(path) as unfenced:
        unfenced.execute("UPDATE runs SET status='trained', owner=NULL, train_loss=9.0 WHERE id=?", (run,))
    assert ledger.runs.get(run)["train_loss"] == 9.0


def test_a_lease_is_used_once(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    with pytest.raises(WorkError, match=r"ledger\.fenced"):
        ledger.runs.trained(run, fence, FACTS)


def test_a_released_run_is_claimed_again(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None and ledger.runs.release(run, fence)
    assert ledger.runs.claim(run) == fence + 1


@pytest.mark.parametrize("ending", ["trained", "done", "failed"])
def test_what_is_finished_is_trained_again_by_one_who_saw_it_finished_and_by_no_second(
    ledger: Ledger, ending: str
) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    if ending == "failed":
        ledger.runs.fail(run, fence, "oom", "too wide")
    else:
        ledger.runs.trained(run, fence, FACTS)
    if ending == "done":
        ledger.runs.add_score(run, "validation", SCORE)
    assert ledger.runs.get(run)["status"] == ending
    assert ledger.runs.claim(run) is None
    seen = ledger.runs.get(run)["fence"]
    again = ledger.runs.claim(run, again=seen)
    assert again is not None and again > fence and ledger.runs.get(run)["reason"] is None
    ledger.runs.trained(run, again, FACTS)
    assert ledger.runs.claim(run, again=seen) is None  # it looked before the other trained it again
    assert ledger.runs.get(run)["status"] == ("done" if ending == "done" else "trained")


def test_a_failure_has_a_known_reason_and_is_never_a_number(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    with pytest.raises(ValueError, match="unknown failure reason"):
        ledger.runs.fail(run, fence, "0.0")
    ledger.runs.fail(run, fence, "nan", "loss at step 3")
    row = ledger.runs.get(run)
    assert (row["status"], row["reason"], row["detail"]) == ("failed", "nan", "loss at step 3")
    with pytest.raises(WorkError, match="no score"):
        ledger.runs.add_score(run, "validation", SCORE)


@pytest.mark.parametrize("bpb", [float("nan"), float("inf")])
def test_what_isnt_finite_is_no_score(ledger: Ledger, bpb: float) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    with pytest.raises(WorkError, match="not a score"):
        ledger.runs.add_score(run, "validation", {**SCORE, "bpb": bpb})


def test_the_first_score_on_a_split_stays(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    for bpb in (2.5, 2.4):
        ledger.runs.add_score(run, "validation", {**SCORE, "bpb": bpb})
    ledger.runs.add_score(run, "certification", {**SCORE, "bpb": 2.7})
    first, other = ledger.runs.score(run, "validation"), ledger.runs.score(run, "certification")
    assert first is not None and first["bpb"] == 2.5 and other is not None and other["bpb"] == 2.7


def test_a_forgotten_run_is_wanted_again_without_its_scores(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    with pytest.raises(WorkError, match=r"ledger\.leased"):
        ledger.runs.forget(run)
    ledger.runs.trained(run, fence, FACTS)
    ledger.runs.add_score(run, "validation", SCORE)
    ledger.runs.forget(run)
    assert ledger.runs.get(run)["status"] == "queued" and ledger.runs.score(run, "validation") is None
    assert ledger.runs.claim(run, again=fence) is not None
    ledger.runs.forget("unknown")
    assert ledger.runs.find("unknown") is None


def test_a_run_that_fails_in_the_judge_needs_no_lease(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    ledger.runs.fail(run, None, "leak", "logits moved")
    assert ledger.runs.get(run)["reason"] == "leak"


def test_reads_of_a_sealed_split_are_counted_once_each_and_refused_past_the_limit(ledger: Ledger) -> None:
    runs = [a_run(ledger, seed) for seed in range(3)]
    for run in (runs[0], runs[0], runs[1]):
        ledger.runs.read_split("test", run, "promotion", season=1, limit=2)
    with pytest.raises(WorkError, match="no more is allowed"):
        ledger.runs.read_split("test", runs[2], "promotion", season=1, limit=2)
    assert ledger.runs.count_reads("test") == 2
    ledger.runs.read_split("test", runs[2], "promotion", season=2, limit=2)


def test_a_recipe_is_kept_whole_and_its_name_is_the_latest_given(ledger: Ledger) -> None:
    for name in ("first", "second"):
        ledger.recipes.put(PlainRecipe(name, {"width": 64}))  # type: ignore[arg-type]
    row = ledger.recipes.get(PlainRecipe(values={"width": 64}).fingerprint)
    assert row is not None and row["name"] == "second" and row["content"] == '{"name":"first","width":64}'


def test_a_later_name_is_taken_up_by_a_known_run(ledger: Ledger) -> None:
    for name in ("first", "second", ""):
        ledger.runs.put(PlainSpec(PlainRecipe(name, {"width": 64})))  # type: ignore[arg-type]
    row = ledger.recipes.get(PlainRecipe(values={"width": 64}).fingerprint)
    assert row is not None and row["name"] == "second"


def test_a_run_of_an_unknown_recipe_is_refused_by_the_database_itself(ledger: Ledger, path: Path) -> None:
    with pytest.raises(WorkError, match="contradicts"), ledger._file.writing() as write:
        write.execute(
            "INSERT INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, created) "
            "VALUES ('r', 'nowhere', 1, 1, 'd', 'j', 0)"
        )
    with pytest.raises(WorkError, match=r"ledger\.unknown_run"):
        ledger.runs.get("r")


def test_a_forked_process_is_an_owner_of_its_own() -> None:
    me, (reads, writes) = Owner.me(), os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writes, str(Owner.me()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = Owner.parse(os.read(reads, 1000).decode())
    assert theirs.pid == pid != me.pid and theirs.started >= me.started and not theirs.alive


def test_an_owner_is_told_from_a_later_process_with_the_same_pid() -> None:
    me = Owner.me()
    assert me.alive and Owner.parse(str(me)) == me and me.pid == os.getpid()
    assert not Owner(me.boot, me.pid, me.started - 1).alive
    assert not Owner("another-boot", me.pid, me.started).alive


def test_a_zombie_owns_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        assert not Owner(Owner.me().boot, pid, started).alive
    finally:
        os.waitpid(pid, 0)


def test_the_ledger_imports_neither_torch_nor_pydantic() -> None:
    script = "import foundry.ledger.ledger, foundry.ledger.queries, foundry.execute.local, sys\n"
    script += "print([name for name in ('torch', 'pydantic', 'ruamel') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_a_specs_id_is_the_ledgers_id(ledger: Ledger) -> None:
    spec = PlainSpec(PlainRecipe(values={"width": 32}), seed=7)
    ledger.runs.put(spec)  # type: ignore[arg-type]
    assert ledger.runs.get(spec.id)["seed"] == 7
