"""The live page: it only shows, to this machine's browser alone, and what it tells can be gone on with after a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from foundry.core.errors import RequestError
from foundry.core.untrusted import framed
from foundry.documents.campaign import Campaign
from foundry.interface.cli import main
from foundry.interface.web import curves, live, serve
from foundry.interface.web.guard import Address, read_token
from foundry.interface.web.live import Cursor, Watch
from foundry.ledger.ledger import Ledger, ledger_path

HERE = Address("127.0.0.1", 8776)
TOKEN = "a-token-of-some-length"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    path: str,
    *headers: tuple[str, str],
    method: str = "GET",
    host: str = "127.0.0.1:8776",
    address: Address = HERE,
    token: str | None = None,
    enough: Callable[[bytes], bool] = lambda body: False,
) -> Answer:
    """What the app answers, up to its end or until that is `enough`."""

    async def asked() -> Answer:
        name, _, query = path.partition("?")
        given = [("host", host), *headers]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": name,
                 "raw_path": name.encode(), "query_string": query.encode(), "scheme": "http", "root_path": "",
                 "headers": [(key.encode(), value.encode()) for key, value in given],
                 "client": ("127.0.0.1", 1), "server": address}  # fmt: skip
        start: dict[str, Any] = {}
        body, over, given_whole = bytearray(), asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if given_whole.is_set():
                await over.wait()
                return {"type": "http.disconnect"}
            given_whole.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body") or enough(bytes(body)):
                    over.set()

        app = asyncio.create_task(serve.app(address, token, None)(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.wait([app, asyncio.create_task(over.wait())], return_when=asyncio.FIRST_COMPLETED)
        app.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await app
        found = {key.decode().lower(): value.decode() for key, value in start["headers"]}
        return Answer(start["status"], found, bytes(body))

    return asyncio.run(asyncio.wait_for(asked(), 60))


@pytest.mark.parametrize("path", ["/", "/api/page", "/api/candidates", "/events", "/nowhere"])
def test_another_name_another_site_and_every_method_but_get_are_refused(home: Path, path: str) -> None:
    for host in ("evil.example:8776", "127.0.0.1:1", "127.0.0.1", "localhost.evil.example:8776", ""):
        assert ask(path, host=host).status == 421
    for origin in ("http://evil.example", "null", "https://127.0.0.1:8776", "http://127.0.0.1:1"):
        assert ask(path, ("origin", origin)).status == 403
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        refused = ask(path, method=method)
        assert (refused.status, refused.headers["allow"]) == (405, "GET")


def test_this_machines_own_names_are_answered_with_a_policy_that_lets_nothing_in(home: Path) -> None:
    for host in ("127.0.0.1:8776", "localhost:8776", "[::1]:8776"):
        answer = ask("/", ("origin", f"http://{host}"), host=host)
        assert answer.status == 200 and answer.body.startswith(b"<!doctype html>")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and answer.headers["x-content-type-options"] == "nosniff"
    assert ask("/docs").status == ask("/openapi.json").status == 404


def test_before_anything_has_run_the_page_says_so_and_makes_no_ledger(home: Path) -> None:
    found = ask("/api/page").json
    assert found["page"]["empty"] and found["page"]["champion"] is None
    assert ask("/api/candidates").json == {"schema": 2, "rows": [], "total": 0, "offset": 0}
    assert not Path("runs").exists()


def test_the_server_pages_and_sorts_and_says_what_it_doesnt_know(promoted: Campaign) -> None:
    page = ask("/api/page").json["page"]
    assert page["champion"]["recipe"] == promoted.champion and page["champion"]["promotions"] >= 1
    first = ask("/api/candidates?limit=3&sort=effect_bpb").json
    rest = ask("/api/candidates?limit=3&sort=effect_bpb&offset=3").json
    gains = [row["effect_bpb"] for row in (*first["rows"], *rest["rows"])]
    assert gains == sorted(gains, reverse=True) and len(gains) == 6 and first["total"] > 6
    opened = ask(f"/api/candidate?candidate={first['rows'][0]['candidate']}").json
    assert opened["edits"] and opened["pairs"]
    for path in ("/api/candidates?sort=nothing", "/api/candidate?candidate=v999", "/api/page?campaign=nobody"):
        answer = ask(path)
        assert answer.status == 404 and answer.json["error"]["code"].startswith("page.unknown_")
    assert ask("/api/candidates?limit=501").status == ask("/api/candidates?offset=-1").status == 422


def test_a_ledger_that_cant_be_read_is_said_and_not_hidden(promoted: Campaign) -> None:
    ledger_path().write_bytes(b"nothing that a database begins with" * 100)
    answer = ask("/api/page")
    assert answer.status == 503 and answer.json["error"]["code"] == "ledger.not_a_database"
    told = ask("/events", enough=lambda body: b"trouble" in body).body
    assert b"event: trouble" in told and b"not a ledger" in told


def test_the_page_changes_nothing(promoted: Campaign) -> None:
    def content() -> list[str]:
        with contextlib.closing(sqlite3.connect(ledger_path())) as ledger:
            return list(ledger.iterdump())

    before = content()
    for path in ("/", "/api/page", "/api/candidates", "/api/candidate?candidate=v1"):
        assert ask(path).status == 200
    assert content() == before


@pytest.fixture
def running(promoted: Campaign) -> Path:
    """A run that this process has begun, and its losses' file."""
    with Ledger.open() as ledger:
        row = ledger._file.row("SELECT id FROM runs WHERE status = 'done' ORDER BY seq DESC")
        assert row is not None
        ledger.runs.forget(row["id"])
        assert ledger.runs.claim(row["id"])
    path = curves.metrics(row["id"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(1, 4))
    return path


def lines(first: int, last: int) -> str:
    facts = ({"step": i, "loss": 4.0 / i, "tokens": 64 * i, "seconds": i / 10} for i in range(first, last + 1))
    return "".join(json.dumps(each) + "\n" for each in facts)


def events(body: bytes) -> list[dict[str, str]]:
    parts = [part for part in body.decode().split("\n\n") if "event:" in part]
    pairs = [[line.split(": ", 1) for line in part.splitlines()] for part in parts]
    return [{each[0]: each[-1] for each in found} for found in pairs]


def test_a_curve_grows_and_is_gone_on_with_by_the_last_events_id_without_a_point_twice(running: Path) -> None:
    found = ask("/api/page").json
    (curve,) = [each for each in found["page"]["curves"] if each["role"] == "running"]
    (run,) = found["page"]["running"]
    assert curve["steps"] == [1, 2, 3, 4] and (run["step"], run["eta_seconds"] > 0) == (4, True)
    with open(running, "a") as file:
        file.write(lines(5, 6) + '{"step": 7')
    (told,) = events(ask(f"/events?after={found['cursor']}", enough=lambda body: b"curve" in body).body)
    assert told["event"] == "curve" and json.loads(told["data"])["steps"] == [5, 6]
    with open(running, "a") as file:
        file.write(lines(7, 7).removeprefix('{"step": 7'))
    header = ("last-event-id", told["id"])
    stale = f"/events?after={found['cursor']}"  # what the browser began with; the header is newer
    (more,) = events(ask(stale, header, enough=lambda body: b"curve" in body).body)
    assert json.loads(more["data"])["steps"] == [7]


def test_a_change_of_the_ledger_brings_a_page_and_a_strange_cursor_a_whole_one(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 0.0)
    watch = Watch(None)
    cursor = Cursor.parse(watch.first()[1])
    assert cursor.read == {watch.seen().look.page.running[0].run: running.stat().st_size}
    assert watch.news(cursor) == []
    with Ledger.open() as ledger:
        ledger.proposals.add("norm:rmsnorm", "<b>why</b>", "somebody")
    watch._took = 0.0
    (event,) = watch.news(cursor)
    assert event.name == "page" and json.loads(event.data)["page"]["waiting"][0]["why"] == framed("<b>why</b>")
    assert "<" not in event.data and "\n" not in event.data and watch.news(event.cursor) == []
    assert Cursor.parse(str(event.cursor)) == event.cursor
    for strange in ("", "x", "a;b:c", "../..;", f"a;{'0' * 32}:-1", "a;" + f"{'0' * 32}:1," * 99):
        assert Cursor.parse(strange) == Cursor("", {})
        assert [event.name for event in watch.news(Cursor.parse(strange))] == ["page"]


def test_a_token_is_asked_of_who_looks_from_elsewhere(home: Path) -> None:
    far = Address("192.0.2.7", 8776)
    here = {"address": far, "token": TOKEN, "host": "192.0.2.7:8776"}
    assert ask("/", **here).status == ask("/?token=wrong", **here).status == 401
    assert ask("/api/page", ("cookie", "foundry=wrong"), **here).status == 401
    given = ask(f"/?token={TOKEN}", **here)
    assert given.status == 303 and given.headers["location"] == "/"
    cookie = given.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask("/api/page", ("cookie", cookie.partition(";")[0]), **here).status == 200
    assert ask("/api/page", ("authorization", f"Bearer {TOKEN}"), **here).status == 200
    assert ask("/", ("cookie", f"foundry={TOKEN}"), **{**here, "host": "rebound.example:8776"}).status == 421


def test_a_tokens_file_is_its_owners_alone_and_holds_something(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for text, mode, code in ((TOKEN, 0o644, "open"), ("short", 0o600, "weak"), ("", 0o600, "weak")):
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(RequestError, match=rf"serve\.{code}_token"):
            read_token(file)
    with pytest.raises(RequestError, match=r"serve\.no_token"):
        read_token(tmp_path / "none")
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--host", "0.0.0.0"), "serve.not_loopback"),
        (("--host", "::"), "serve.not_loopback"),
        (("--host", "no such name"), "serve.not_loopback"),
        (("--campaign", "nobody"), "page.unknown_campaign"),
    ],
)
def test_an_address_that_others_reach_and_an_unknown_campaign_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str
) -> None:
    assert main(["serve", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"[{code}]") and err.count("\n") == 1


def test_a_port_in_use_is_said_and_the_next_free_one_taken(promoted: Campaign) -> None:
    """A whole process: it imports no torch, serves, and ends by Ctrl-C with 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = (
            "import sys; from foundry.interface.cli import main; rc = main(sys.argv[1:])\n"
            "sys.exit(rc or 'torch' in sys.modules)"
        )
        arguments = [sys.executable, "-c", command, "serve", "--port", str(port), "--json"]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    document = json.loads("".join(line.decode() for line in iter(process.stdout.readline, b"}\n")) + "}")
    try:
        with urllib.request.urlopen(f"{document['url']}api/page", timeout=60) as answer:
            assert json.load(answer)["page"]["champion"]["recipe"] == promoted.champion
    finally:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert document["port"] >= port and document["campaign"] == "experiments/baseline.yaml"
