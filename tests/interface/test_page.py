"""The page as a file: what its views say is what the ledger has, and whatever others wrote is text in it."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clients.large_ledger import make
from foundry.core.errors import RequestError
from foundry.core.untrusted import framed
from foundry.documents.campaign import Campaign
from foundry.documents.page import Candidate
from foundry.interface.cli import main
from foundry.interface.web import curves, page, views
from foundry.interface.web.activity import told
from foundry.interface.web.report import report
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from tests.home import ROOT, older_ledger, write_tiny

BASELINE = Path("experiments/baseline.yaml")
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>&lt;b&gt;\x1b[31mred\u202e"


class Elements(HTMLParser):
    """What a browser would make of the file: its elements, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def written(path: Path) -> tuple[Elements, dict[str, Any]]:
    elements = Elements(path.read_text())
    return elements, json.loads(elements.scripts[0])


def test_the_champion_its_gain_and_the_cost_are_those_of_the_ledger(promoted: Campaign) -> None:
    shown = views.look().page
    entries = [entry for entry in queries.lineage(str(BASELINE)) if entry.kind == "promote"]
    champion = shown.champion
    assert champion is not None and champion.recipe == promoted.champion and champion.promotions == len(entries)
    assert champion.gain_bpb == pytest.approx(sum(entry.effect_bpb or 0 for entry in entries))
    assert champion.pairs == sum(entry.n or 0 for entry in entries)
    assert champion.gain_bpb is not None
    low, high = champion.interval_bpb or (0.0, 0.0)
    widths = [(entry.interval_bpb[1] - entry.interval_bpb[0]) / 2 for entry in entries if entry.interval_bpb]
    assert high - low == pytest.approx(2 * math.hypot(*widths)) and low < champion.gain_bpb < high
    assert shown.spent.runs == promoted.runs and shown.spent.failed == 0 and not shown.empty
    assert shown.stairs[0].kind == "adopt" and shown.stairs[-1].recipe == champion.recipe
    assert champion.start_bpb is not None and champion.bpb == pytest.approx(champion.start_bpb - champion.gain_bpb)
    assert [stair.flops for stair in shown.stairs] == sorted(stair.flops for stair in shown.stairs)
    with Ledger.open() as ledger:
        sql = "SELECT count(DISTINCT recipe) AS n FROM runs WHERE recipe NOT IN (SELECT to_fp FROM promotions)"
        full = f"{sql} AND budget_tokens > (SELECT max(budget_tokens) / 2 FROM runs)"
        everyone, on_full = (ledger._file.row(each) for each in (sql, full))
    assert everyone is not None and on_full is not None and shown.tried.of == on_full["n"] <= everyone["n"]
    assert champion.recipe not in set(shown.tried.names) and shown.tried.of == len(shown.tried.bpb) > 3


def test_the_table_has_each_trial_and_each_test_once_in_the_order_asked_for_page_by_page(promoted: Campaign) -> None:
    everything = views.table(None, 0, 500, "created_unix", True)
    stages = [row.stage for row in everything.rows]
    assert everything.total == len(stages) == len({row.candidate for row in everything.rows})
    assert stages.count("screening") == json_history()["totals"]["trials"]
    assert stages.count("certify") + stages.count("not_worse") == promoted.certifications
    for sort in ("effect_bpb", "name", "flops"):
        for descending in (True, False):
            pages = [views.table(None, at, 7, sort, descending).rows for at in range(0, everything.total, 7)]
            rows = [row for part in pages for row in part]
            assert len({row.candidate for row in rows}) == everything.total
            known = [value for row in rows if (value := getattr(row, sort)) is not None]
            assert known == sorted(known, reverse=descending)
            assert [getattr(row, sort) is None for row in rows] == sorted(getattr(row, sort) is None for row in rows)
    with pytest.raises(RequestError, match=r"page\.unknown_column.*effect_bpb"):
        views.table(None, 0, 5, "effect_bpb; DROP TABLE runs", True)


def json_history() -> dict[str, Any]:
    from foundry.campaign.history import history

    return history(1000).to_dict()


def test_a_row_opens_its_diff_and_its_pairs(promoted: Campaign) -> None:
    rows = views.table(None, 0, 500, "created_unix", True).rows
    promotion = promoted.promotions[0]
    comparison = queries.comparison(promotion.comparison or "")
    test = next(row for row in rows if row.reason == comparison.says)
    shown = views.opened(None, test.candidate)
    assert test.flatters and test.effect_bpb == promotion.flattering_effect_bpb != promotion.effect_bpb
    assert [pair.gain_bpb for pair in shown.pairs] == list(comparison.differences)
    before, after = (queries.recipe(each or "").content for each in (promotion.from_recipe, promotion.to_recipe))
    assert {edit.path for edit in shown.edits} == {edit.path for edit in queries.plain_diff(before, after)}
    trials = [row for row in rows if row.stage == "screening" and row.outcome != "failed"]
    beside = [pair for trial in trials for pair in views.opened(None, trial.candidate).pairs]
    scored = [pair for pair in beside if pair.gain_bpb is not None]
    assert len(scored) > 3, "some were run on a seed that what they are compared with ran on too"
    for pair in scored:
        assert pair.gain_bpb == pytest.approx((pair.baseline_bpb or 0.0) - (pair.candidate_bpb or 0.0))
    for wrong in ("t999999.0", "x1", "v0", "t1.99", "", "v1; DROP"):
        with pytest.raises(RequestError, match=r"page\.unknown_candidate"):
            views.opened(None, wrong)


def test_decisions_are_said_in_words(promoted: Campaign) -> None:
    rows = views.table(None, 0, 500, "created_unix", True).rows
    won = next(row for row in rows if row.outcome == "better" and row.stage == "certify")
    said = re.escape(f"{won.name}: better, {won.effect_bpb:+.4f} bits per byte ")
    assert re.fullmatch(
        rf"{said}\([+-]0\.\d{{4}} to [+-]0\.\d{{4}}\), on the pairs that decided, which flatter", told(won).text
    )
    shown = views.look().page.decisions
    assert shown and {each.text for each in shown} <= {told(row).text for row in rows}
    says = "norm:rmsnorm is not shown to be better than baseline (… effects above 0.004 bpb are unlikely)."
    row = Candidate(candidate="v1", created_unix=0.0, name="norm:rmsnorm", stage="certify", outcome="not_better",
                    effect_bpb=0.001, low_bpb=-0.002, high_bpb=0.003, n=6, share=1.0, evidence=0.0, flops=1.0, by="",
                    why="", reason=says, recipe="")  # fmt: skip
    assert told(row).text == "norm:rmsnorm: not better, effects above 0.0040 bits per byte are unlikely"
    assert told(replace(row, reason="")).text == "norm:rmsnorm: not better"
    failed = told(replace(row, outcome="failed", stage="screening", reason="nan: loss became nan\nat step 3"))
    assert (failed.text, failed.tone) == ("norm:rmsnorm: failed: nan: loss became nan at step 3", "bad")
    assert told(replace(row, stage="not_worse")).text == "norm:rmsnorm: stays in"


def test_hostile_names_reasons_and_failures_are_data_in_the_file_and_nothing_else(
    promoted: Campaign, tmp_path: Path
) -> None:
    clean = Elements(Path(report(None, tmp_path / "clean.html").html).read_text())
    with Ledger.open() as ledger:
        ledger.proposals.add(HOSTILE, HOSTILE, HOSTILE)
        run = ledger._file.row("SELECT id FROM runs ORDER BY seq DESC")
        assert run is not None
        with ledger._file.writing() as write:
            write.execute("UPDATE recipes SET name = ?", (HOSTILE,))
            values = (HOSTILE, run["id"])
            write.execute("UPDATE runs SET status='failed', reason='crash', detail=? WHERE id=?", values)
    path = tmp_path / "hostile.html"
    report(None, path)
    elements, data = written(path)
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in clean.tags], "no element came of it"
    assert elements.scripts[1] == page.script() and len(elements.scripts) == 2
    assert data["page"]["waiting"][0] == {"proposal": 1, **dict.fromkeys(("mutation", "who", "why"), framed(HOSTILE))}
    assert data["page"]["failures"]["latest"][0]["detail"] == framed(HOSTILE) and HOSTILE not in path.read_text()
    careless = path.read_text().replace("\\\\u003c", "<").replace("\\\\u003e", ">")
    assert [tag for tag, _ in Elements(careless).tags] != [tag for tag, _ in clean.tags], "else this test sees nothing"


def test_the_file_asks_for_nothing_from_elsewhere(promoted: Campaign, tmp_path: Path) -> None:
    elements, _ = written(Path(report(None, tmp_path / "report.html").html))
    for tag, attributes in elements.tags:
        assert tag not in ("iframe", "object", "embed", "form", "base")
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert (attributes.get("href") or "data:").startswith("data:")
    policy = page.policy(live=False)
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe" not in policy
    assert page.html().count("<script") == 1, "live it brings no views"


def test_the_scripts_make_no_markup_of_text() -> None:
    """uPlot's own aside, which is given no text of others: our labels are constants, our tips elements."""
    assets = ROOT / "src" / "foundry" / "interface" / "web" / "assets"
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|srcdoc|https?://")
    for name in page.SCRIPTS:
        assert not forbidden.findall((assets / name).read_text()), name
    assert forbidden.search("x.innerHTML = y") and "MIT License" in page.script()
    assert (assets / "uPlot.LICENSE").read_text().strip() in page.script()


def test_without_a_ledger_the_page_says_so_and_no_ledger_is_made(home: Path) -> None:
    assert views.look().page.empty and views.table(None, 0, 5, "name", True).total == 0
    assert main(["report", "--html", "here.html"]) == 0
    assert written(Path("here.html"))[1]["page"]["empty"] and not Path("runs/ledger.db").exists()


def test_a_thousand_runs_are_a_file_of_less_than_two_megabytes_that_says_what_it_leaves_out(home: Path) -> None:
    make(1000)
    told = report()
    assert told.runs >= 1000 and told.bytes < 2e6 and told.candidates < told.candidates_of
    _, data = written(Path(told.html))
    rows = {row["candidate"] for row in data["candidates"]["rows"]}
    assert data["candidates"]["total"] == told.candidates_of and rows == data["opened"].keys()
    best = views.table(None, 0, 5, "effect_bpb", True).rows
    assert {row.candidate for row in best} <= rows
    assert {each["candidate"] for each in data["page"]["decisions"]} <= rows, "each that is told of can be opened"


def test_an_unknown_campaign_is_refused_with_those_there_are(
    promoted: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--campaign", "experiments/other.yaml", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "page.unknown_campaign" and error["choices"] == [str(BASELINE)]
    assert main(["report", "--campaign", str(BASELINE), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["campaign"] == str(BASELINE) and told["bytes"] == Path(told["html"]).stat().st_size


def test_a_card_is_a_picture(promoted: Campaign) -> None:
    assert main(["report", "--card", "card.png"]) == 0
    assert Path("card.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_report_that_cant_be_written_costs_one_line_and_no_work(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs/report.html").mkdir(parents=True)
    command = ["compare", str(BASELINE), str(write_tiny(home / "b.yaml", train__optimizer__lr=2e-3)), "--device", "cpu"]
    assert (
        main([*command, "--alpha", "0.4", "--max-pairs", "3", "--judged-bytes", "2048", "--json", "--progress", "none"])
        == 0
    )
    out, err = capsys.readouterr()
    assert json.loads(out)["n"] >= 1 and re.fullmatch(r"the report was not written: .*\n", err)
    Path("runs/report.html").rmdir()
    assert main([*command, "--alpha", "0.4", "--max-pairs", "3", "--judged-bytes", "2048", "--progress", "none"]) == 0
    out, err = capsys.readouterr()
    assert "Page: runs/report.html" in out and not err and written(Path("runs/report.html"))[1]["page"]["curves"]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_ledger_of_an_earlier_version_has_a_page(home: Path, version: int) -> None:
    older_ledger(home / "runs" / "ledger.db", version)
    assert views.look().page.spent.runs == 0 and views.table(None, 0, 5, "name", True).total == 0


@pytest.fixture
def losses(home: Path) -> Iterator[Path]:
    path = curves.metrics("ab" * 16)
    path.parent.mkdir(parents=True)
    yield path


def test_a_curve_is_read_on_from_where_it_was_and_anew_when_its_file_was(losses: Path) -> None:
    lines = [json.dumps({"step": i, "loss": 4.0 / i, "tokens": 64 * i, "seconds": i / 10}) + "\n" for i in range(1, 9)]
    losses.write_text("".join(lines[:4]) + lines[4][:9])
    first = curves.read("ab" * 16)
    assert first.steps == [1, 2, 3, 4] and first.per_step == 64, "half a line is none yet"
    losses.write_text("".join(lines))
    assert curves.read("ab" * 16, first.end).steps == [5, 6, 7, 8]
    losses.write_text("".join(lines[:2]))
    assert curves.read("ab" * 16, first.end).steps == [1, 2], "it was begun anew from a checkpoint"


def test_what_is_no_ordinary_file_of_numbers_is_no_curve(losses: Path) -> None:
    os.mkfifo(losses)
    assert curves.read("ab" * 16) == curves.NOTHING, "nobody waits for it"
    losses.unlink()
    losses.with_name("elsewhere").write_text('{"step": 1, "loss": 1.0}\n')
    losses.symlink_to(losses.with_name("elsewhere"))
    assert curves.read("ab" * 16) == curves.NOTHING
    losses.unlink()
    bad = ["[]", '{"step": 1, "loss": NaN}', '{"step": "2", "loss": 1e999}', "{" * 5000, '{"step": 1e400, "loss": 1}']
    losses.write_text(
        "\n".join([*bad, '{"step": 3, "loss": 2.5}', '{"step": 3, "loss": 9}', '{"step": 2, "loss": 9}\n'])
    )
    assert curves.read("ab" * 16)[:2] == ([3], [2.5])


def test_a_thinned_curve_keeps_both_ends_and_every_spike() -> None:
    losses = [5.0] * 5000
    losses[1234], losses[4321] = 50.0, 0.5
    steps, kept = curves.thinned(range(1, 5001), losses, 200)
    assert len(steps) <= 210 and (steps[0], steps[-1]) == (1, 5000) and {50.0, 0.5} < set(kept)
    assert list(steps) == sorted(set(steps)) and curves.thinned([1, 2], [3.0, 4.0], 200) == ((1, 2), (3.0, 4.0))


def test_the_page_imports_nothing_heavy(promoted: Campaign) -> None:
    import subprocess

    script = (
        "import sys; from foundry.interface.web import report; report.report()\n"
        "print([name for name in ('torch', 'pydantic', 'scipy', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr + done.stdout
