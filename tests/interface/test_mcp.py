"""foundry mcp, as the SDK's own client meets it over stdin and stdout, of both eras of the protocol, and in-process."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestParams, ElicitResult

import foundry
from foundry.documents.campaign import Campaign
from foundry.interface import jobs as started
from foundry.interface.cli import main
from foundry.interface.mcp import server as mcp_server
from foundry.interface.mcp.serving import made
from foundry.ledger.lease import Owner
from tests import schema
from tests.home import write_tiny
from tests.interface.test_commands import SMALL

READS = {"catalogue", "history", "lineage", "show", "diff", "log", "proposals", "jobs", "budget"}
WORKS = {"propose", "write_part", "check", "start", "wait", "stop", "report"}
LIGHT = """
import sys
from foundry.interface.cli import main
code = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""
PART = '"""GELU again."""\nfrom foundry.modules.activation import gelu\n\n\nclass Config(gelu.Config):\n    pass\n'


def over_stdio(home: Path, code: str = LIGHT, mode: str = "auto", **more: Any) -> Client:
    arguments = ["-c", code, "mcp", "--project", str(home)]
    return Client(stdio_client(StdioServerParameters(command=sys.executable, args=arguments, env={**os.environ})),
                  mode=mode, **more)  # fmt: skip


def inside(home: Path, read_only: bool = False, mode: str = "auto", **more: Any) -> Client:
    """A client of a server in this process."""
    return Client(made(foundry.Project(home), read_only), mode=mode, **more)


async def told(client: Client, tool: str, error: bool = False, **arguments: Any) -> Any:
    """What a tool answers: one JSON document as text."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert content.type == "text" and result.is_error == error, content
    return json.loads(content.text)


def run(test: Callable[[], Awaitable[None]]) -> None:
    anyio.run(test)


def test_a_training_is_started_and_waited_for_and_outlives_the_server(home: Path) -> None:
    write_tiny(Path("experiments/long.yaml"), name="long", budget__tokens=64 * 400_000)
    heard: list[str] = []

    async def told_how_far(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    async def modern() -> None:
        async with over_stdio(home) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == READS | WORKS
            wrong = await told(client, "start", error=True, verb="train", arguments=["x.yaml", "--sed", "3"])
            assert wrong["error"]["code"] == "usage" and "--seed" in wrong["error"]["hint"]
            words = {"verb": "train", "arguments": ["experiments/long.yaml", *SMALL], "key": "long"}
            job = await told(client, "start", **words)
            assert job["begun"] and await told(client, "start", **words) == {**job, "begun": False}
            (server,) = [pid for pid in children(os.getpid()) if b"mcp\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(server, signal.SIGKILL)
            with pytest.raises(MCPError):
                await told(client, "budget")

    run(modern)

    async def legacy() -> None:
        async with over_stdio(home, mode="legacy") as client:
            while not (seen := await told(client, "wait", job="long", seconds=1))["runs"]:
                assert seen["state"] == "running" and seen["result"] is None
            result = await client.call_tool("wait", {"job": "long", "seconds": 1}, progress_callback=told_how_far)
            assert json.loads(result.content[0].text)["state"] == "running" and heard  # type: ignore[union-attr]
            stopped = await told(client, "stop", what="long")
            assert stopped["ended"] and "agent" in schema.text(stopped["by"])
            assert (await told(client, "wait", job="long"))["state"] == "stopped"
            words = ["experiments/baseline.yaml", *SMALL]
            job = (await told(client, "start", verb="train", arguments=words))["job"]
            while (done := await told(client, "wait", job=job))["state"] == "running":
                pass
            assert done["state"] == "done" and done["result"]["val_bpb"] > 0

    run(legacy)
    assert foundry.Project(home).log().runs[0].status == "done"


def children(pid: int) -> list[int]:
    """Processes that this one has started, and theirs."""
    found = [int(each) for task in Path(f"/proc/{pid}/task").iterdir()
             for each in (task / "children").read_text().split()]  # fmt: skip
    return [*found, *(each for child in found for each in children(child))]


def test_tools_answer_with_the_documents_of_their_commands(
    promoted: Campaign, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = promoted.promotions[0]
    calls: list[tuple[str, dict[str, Any], list[str]]] = [
        ("catalogue", {}, ["mutate"]),
        ("catalogue", {"of": "kinds"}, ["kinds"]),
        ("history", {"limit": 3, "offset": 2}, ["history", "--limit", "3", "--offset", "2"]),
        ("lineage", {"limit": 1}, ["lineage", "--limit", "1"]),
        ("show", {"ref": promotion.promotion}, ["show", promotion.promotion]),
        ("diff", {"a": promotion.to_recipe, "b": "experiments/baseline.yaml"},
         ["diff", promotion.to_recipe, "experiments/baseline.yaml"]),
        ("log", {"limit": 2, "status": "done"}, ["log", "--limit", "2", "--status", "done"]),
        ("proposals", {}, ["proposals", "--limit", "50"]),
        ("jobs", {}, ["jobs"]),
        ("budget", {}, ["budget"]),
    ]  # fmt: skip

    async def test() -> None:
        async with inside(home, read_only=True) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == READS
            assert all(tool.annotations and tool.annotations.read_only_hint and tool.description for tool in tools)
            for tool, arguments, command in calls:
                assert main([*command, "--json"]) == 0
                assert await told(client, tool, **arguments) == json.loads(capsys.readouterr().out), tool
            seen: list[str] = []
            while (page := await told(client, "log", limit=50, offset=len(seen)))["runs"]:
                seen += [row["run"] for row in page["runs"]]
                assert page["more"] == (len(page["runs"]) == 50 and len(seen) < len(every)), "more says whether"
            assert seen == every
            verbs = {each["verb"]: each for each in (await told(client, "catalogue", of="verbs"))["verbs"]}
            assert "--jobs" in {each["name"] for each in verbs["sweep"]["options"]}
            for name, ref in (("recipe", promotion.to_recipe), ("run", every[0]), ("report", promotion.comparison)):
                text = (await client.read_resource(f"foundry://{name}/{ref}")).contents[0].text  # type: ignore
                assert main(["show", str(ref), "--json"]) == 0
                assert json.loads(text) == json.loads(capsys.readouterr().out)
            for ref in (promotion.to_recipe, "zzz"):
                with pytest.raises(Exception, match=r"zzz|no run"):
                    await client.read_resource(f"foundry://run/{ref}")
            assert {each.name for each in (await client.list_resource_templates()).resource_templates} == {
                "recipe", "run", "report"}  # fmt: skip
            assert [each.name for each in (await client.list_prompts()).prompts] == ["research-loop"]

    every = [row.run for row in foundry.Project(home).log(limit=100_000).runs]
    run(test)


def test_a_refusal_is_foundrys_own_error_whatever_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*about: Any, **named: Any) -> Any:
        raise ZeroDivisionError("a mistake")

    async def test() -> None:
        async with inside(home) as client:
            for code, tool, arguments in (
                ("mutate.unknown_variant", "propose", {"mutation": "norm:rmsnrm"}),
                ("show.unknown", "show", {"ref": "zzz"}),
                ("usage", "log", {"limit": 0}),
                ("usage", "start", {"verb": "revert", "arguments": []}),
                ("usage", "promote", {}),
                ("jobs.unknown", "wait", {"job": "zzz"}),
                ("internal.error", "budget", {}),
            ):
                with monkeypatch.context() as patch:
                    if tool == "budget":
                        patch.setattr(foundry.Project, "budget", broken)
                    refused = (await told(client, tool, error=True, **arguments))["error"]
                assert refused["code"] == code and refused.keys() >= {"message", "choices", "hint"}, refused
            choices = (await told(client, "propose", error=True, mutation="norm:rmsnrm"))["error"]["choices"]
            assert "rmsnorm" in choices

    run(test)


def test_no_call_lasts_longer_than_clients_wait(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_server, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(started, "_spawn", lambda job, *more: started.folder(job).mkdir(parents=True) or Owner.me())

    async def test() -> None:
        async with inside(home) as client:
            await anyio.to_thread.run_sync(lambda: foundry.Project(home).start("train", "x.yaml", key="x"))
            late = await told(client, "wait", error=True, job="x", seconds=1)
            assert late["error"]["code"] == "mcp.time" and "goes on" in late["error"]["hint"]

    run(test)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_what_spends_error_budget_asks_a_person_or_needs_their_word(
    home: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(started, "_spawn", lambda job, *more: started.folder(job).mkdir(parents=True) or Owner.me())
    asked: list[str] = []

    def answering(action: Any, content: dict[str, Any] | None = None) -> Any:
        async def answers(context: Any, params: ElicitRequestParams) -> ElicitResult:
            asked.append(params.message)
            return ElicitResult(action=action, content=content)

        return answers

    async def test() -> None:
        promote = {"verb": "sweep", "arguments": ["norm:rmsnorm", "--promote"]}
        for answers in (None, answering("decline"), answering("cancel"), answering("accept", {"agreed": False})):
            async with inside(home, mode=mode, elicitation_callback=answers) as client:
                for words in (promote, {"verb": "campaign", "arguments": []}):
                    refused = await told(client, "start", error=True, **words)
                    assert refused["error"]["code"] == "mcp.not_agreed"
        assert foundry.Project(home).jobs().jobs == () and len(asked) == 6 and "--promote" in asked[0]
        async with inside(home, mode=mode, elicitation_callback=answering("accept", {"agreed": True})) as client:
            assert (await told(client, "start", **promote))["begun"]
        async with inside(home, mode=mode) as client:
            assert (await told(client, "start", verb="campaign", arguments=[], spend_budget=True))["begun"]
            assert (await told(client, "start", verb="sweep", arguments=["norm:rmsnorm"]))["begun"]

    run(test)


def test_a_part_is_written_into_the_workspace_alone_and_over_nothing_unseen(home: Path) -> None:
    elsewhere = home.with_name(f"{home.name}-elsewhere")
    elsewhere.mkdir()

    async def test() -> None:
        async with inside(home) as client:
            written = await told(client, "write_part", slot="activation", kind="mine", source=PART)
            assert (home / "workspace/modules/activation/mine.py").read_text() == PART and not written["replaced"]
            assert "mine" in (await told(client, "catalogue", of="kinds"))["workspace"]["activation"]
            assert (await told(client, "propose", mutation="activation:mine"))["mutation"] == "activation:mine"
            changed = PART.replace("again", "once more")
            again: dict[str, Any] = {"slot": "activation", "kind": "mine", "source": changed}
            assert (await told(client, "write_part", error=True, **again))["error"]["code"] == "part.exists"
            assert (await told(client, "write_part", **again, replaces=written["hash"]))["replaced"]
            assert (home / "workspace/modules/activation/mine.py").read_text() == changed
            (home / "workspace/modules/norm").symlink_to(elsewhere)
            for code, slot, kind, source in (
                ("part.slot", "tokenizer", "mine", PART),
                ("part.slot", "../..", "mine", PART),
                ("part.kind", "activation", "../mine", PART),
                ("part.kind", "activation", "_mine", PART),
                ("part.builtin", "activation", "gelu", PART),
                ("part.outside", "norm", "mine", PART),
                ("code.syntax", "attention", "mine", "def (:"),
                ("code.no_class", "attention", "mine", "x = 1"),
                ("code.too_large", "attention", "mine", "#" * 300_000),
            ):
                refused = await told(client, "write_part", error=True, slot=slot, kind=kind, source=source)
                assert refused["error"]["code"] == code, refused
        assert list(elsewhere.iterdir()) == [] and not (home / "workspace/modules/attention").exists()

    run(test)


@pytest.mark.parametrize("client", ["claude", "codex", "cursor", "vscode"])
def test_what_a_client_is_told_starts_this_projects_server(
    home: Path, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", "--print-config", client]) == 0
    printed = capsys.readouterr().out
    assert str(home) in printed and "mcp" in printed
    if client == "codex":
        import tomllib

        assert tomllib.loads(printed)["mcp_servers"]["foundry"]["args"] == ["mcp", "--project", str(home)]
    elif client != "claude":
        (servers,) = json.loads(printed).values()
        assert servers["foundry"]["args"] == ["mcp", "--project", str(home)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--project", "nowhere"], "project.no_folder"),
        (["--http", "127.0.0.1"], "usage"),
        (["--http", "0.0.0.0:8777"], "mcp.not_loopback"),
        (["--token-file", "x"], "usage"),
        (["--http", "127.0.0.1:0", "--token-file", "nofile"], "serve.no_token"),
    ],
)
def test_what_can_not_be_served_is_said_in_one_line_and_nothing_on_stdout(
    home: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"[{code}]")
