"""Jobs in the ledger: asked for twice and done once, held by who does them, and forgotten by a rule."""

from __future__ import annotations

import pytest

from foundry.core.errors import FoundryError
from foundry.ledger import jobs
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger

DEAD = Owner("gone", 1, 1)
TRAIN, OTHER = ["train", "a.yaml"], ["train", "b.yaml"]


class Spawner:
    """Starts nothing: the process of a job is this one, or one that is gone."""

    def __init__(self, owner: Owner) -> None:
        self.owner, self.started = owner, list[tuple[str, int]]()

    def __call__(self, job: str, fence: int) -> Owner:
        self.started.append((job, fence))
        return self.owner


def test_the_same_key_or_the_same_words_while_it_runs_is_the_same_job(ledger: Ledger) -> None:
    mine = Spawner(Owner.me())
    first, begun = ledger.jobs.begin(TRAIN, None, mine)
    assert begun and first["state"] == "running" and first["pid"] == Owner.me().pid
    for key in (None, "night", "night", None):
        again, begun = ledger.jobs.begin(TRAIN, key, mine)
        assert again["id"] == first["id"] and not begun
    assert ledger.jobs.get("night")["id"] == first["id"], "the key that was given later is its name from then on"
    with pytest.raises(FoundryError, match=r"start\.other_key"):
        ledger.jobs.begin(OTHER, "night", mine)
    other, begun = ledger.jobs.begin(TRAIN, "other", mine)
    assert begun and other["id"] != first["id"], "whoever gives another key wants another job"
    ledger.jobs.end(other["id"], 1, 0, None)
    assert ledger.jobs.end(first["id"], 1, 0, {"answer": 1})
    again, begun = ledger.jobs.begin(TRAIN, "night", mine)
    assert not begun and again["state"] == "done" and again["result"] == {"answer": 1}
    anew, begun = ledger.jobs.begin(TRAIN, None, mine)
    assert begun and anew["id"] != first["id"], "without a key, what has ended is done again"
    assert len(mine.started) == 3


def test_a_job_whose_process_is_gone_is_lost_and_its_key_takes_it_up_again(ledger: Ledger) -> None:
    lost, _ = ledger.jobs.begin(TRAIN, "night", Spawner(DEAD))
    assert lost["state"] == ledger.jobs.get(lost["id"][:5])["state"] == "lost" and ledger.jobs.running() == []
    found, begun = ledger.jobs.begin(TRAIN, "night", spawner := Spawner(Owner.me()))
    assert begun and found["id"] == lost["id"] and spawner.started == [(lost["id"], 2)]
    assert not ledger.jobs.is_held(lost["id"], 1) and ledger.jobs.is_held(lost["id"], 2)
    assert not ledger.jobs.end(lost["id"], 1, 0, None), "what the first process says now isn't heard"
    assert ledger.jobs.get("night")["state"] == "running"
    for code, state in ((130, "stopped"), (1, "failed"), (2, "failed")):
        job = ledger.jobs.begin([*OTHER, str(code)], None, Spawner(Owner.me()))[0]["id"]
        ledger.jobs.end(job, 1, code, None)
        assert ledger.jobs.get(job)["state"] == state and ledger.jobs.get(job)["pid"] is None


def test_a_process_that_could_not_be_started_leaves_no_job(ledger: Ledger) -> None:
    def refused(job: str, fence: int) -> Owner:
        raise BlockingIOError("no more processes")

    with pytest.raises(BlockingIOError):
        ledger.jobs.begin(TRAIN, "night", refused)
    assert ledger.jobs.latest(9) == []


def test_of_old_jobs_the_result_goes_and_the_record_stays(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    names = [ledger.jobs.begin([*TRAIN, str(i)], None, Spawner(Owner.me()))[0]["id"] for i in range(5)]
    for name in names[1:]:  # the oldest still runs
        ledger.jobs.end(name, 1, 0, {"answer": 1})
    assert sorted(ledger.jobs.tidy([*names, "a folder that is no job's"])) == sorted(names[1:3])
    assert [row["id"] for row in ledger.jobs.latest(2, 1)] == [names[3], names[2]]
    kept = {row["id"]: row["result"] for row in ledger.jobs.latest(9)}
    assert [kept[name] for name in names] == [None, None, None, {"answer": 1}, {"answer": 1}]


def test_no_more_jobs_run_at_once_than_there_may(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_RUNNING", 2)
    ledger.jobs.begin(TRAIN, None, Spawner(DEAD))
    for i in range(2):
        ledger.jobs.begin([*OTHER, str(i)], None, Spawner(Owner.me()))
    with pytest.raises(FoundryError, match=r"start\.too_many"):
        ledger.jobs.begin([*OTHER, "2"], None, Spawner(Owner.me()))
    assert not ledger.jobs.begin([*OTHER, "1"], None, Spawner(Owner.me()))[1], "what runs is found all the same"


def test_a_job_is_found_by_what_names_it_alone(ledger: Ledger) -> None:
    for name in ("zz", "", "0123456789ab", "%", "'"):
        with pytest.raises(FoundryError, match=r"jobs\.unknown"):
            ledger.jobs.get(name)
    job = ledger.jobs.begin(TRAIN, None, Spawner(Owner.me()))[0]["id"]
    assert ledger.jobs.get(job[:4])["id"] == job
    with pytest.raises(FoundryError, match=r"jobs\.unknown"):
        ledger.jobs.get(job[:3])
