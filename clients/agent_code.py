"""A part that an agent writes, through to the baseline: `python -m clients.agent_code`.

A client of the SDK's over stdin and stdout writes a new kind of attention, has it checked, proposes it, and starts a
campaign that races it, certifies it on fresh seeds and on a second text, and promotes it; `foundry rebuild` then brings
recipe and code back in another folder. Real training of a tiny model, in a sandbox. The part is as loud as it is for
one reason: at the learning rate of this baseline it learns faster. May not: be part of the tests, for it takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.home import write_tiny

FOUNDRY = Path(sys.executable).with_name("foundry")
CAMPAIGN = ["--strategy", "outside", "--runs", "200", "--judged-bytes", "4096", "--device", "cpu"]
PART = '''"""Grouped attention, sixteen times as loud. May not: apply positions.

Shapes: P population (may be absent), B batch, T time, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.forward_context import Side
from foundry.modules.norm import NormConfig


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Loud(self, width, layer, norm)


class Loud(nn.Module):
    """x [P?, B, T, D] → 16 · gqa(x), same shape."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.quiet = gqa.GroupedQueryAttention(config, width, layer, norm)

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return 16.0 * self.quiet(x_PBTD, side)
'''


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    (content,) = (await client.call_tool(tool, arguments)).content
    assert content.type == "text"
    document = json.loads(content.text)
    assert "error" not in document, document
    return document


async def ended(client: Client, job: dict[str, Any]) -> Any:
    """The result of a job, however many waits it takes."""
    while job.get("state") == "running":
        job = await told(client, "wait", job=job["job"])
    assert job.get("state", "done") == "done", job
    return job.get("result", job)


async def work(project: Path) -> str:
    """What an agent does; the fingerprint of the champion that its part became."""
    server = StdioServerParameters(command=str(FOUNDRY), args=["mcp", "--project", str(project)], env={**os.environ})
    async with Client(stdio_client(server)) as client:
        written = await told(client, "write_part", slot="attention", kind="loud", source=PART)
        checked = await ended(client, await told(client, "check", file=written["file"]))
        assert checked["ok"], checked["faults"]
        print(f"checked: {len(checked['passed'])} clauses hold, in {checked['tier']}", flush=True)
        proposal = (await told(client, "propose", mutation="attention:loud", why="small steps"))["proposal"]
        job = await told(client, "start", verb="campaign", arguments=CAMPAIGN, key="night", spend_budget=True)
        campaign = await ended(client, job)
        (found,) = [each for each in (await told(client, "proposals"))["proposals"] if each["proposal"] == proposal]
        assert found["status"] == "done", found
        promotions = [each for each in (await told(client, "lineage"))["promotions"] if each["kind"] == "promote"]
        assert [each["mutation"] for each in promotions] == ["attention:loud"], (campaign, found)
        shown = await told(client, "show", ref=promotions[0]["comparison"])
        assert shown["verdict"] == "better" and shown["second_text"]["reason"] is None, shown["second_text"]
        print(f"promoted: {shown['effect_bpb']:+.4f} bits per byte over {shown['n']} pairs; on the second text "
              f"{shown['second_text']['says']}", flush=True)  # fmt: skip
        return promotions[0]["to_recipe"]


def rebuilt(project: Path, champion: str, folder: Path) -> None:
    """The champion with its code, in another folder, is the same recipe to the last byte of its source."""

    def foundry(*words: str, **more: str) -> Any:
        done = subprocess.run([str(FOUNDRY), *words, "--json"], capture_output=True, cwd=project, text=True,
                              env={**os.environ, **more})  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    foundry("rebuild", champion, str(folder))
    assert (folder / "workspace/modules/attention/loud.py").read_text() == PART
    (project / "workspace/modules/attention/loud.py").unlink()
    inside = {"FOUNDRY_WORKSPACE": str(folder / "workspace")}
    trained = foundry("train", str(folder / "recipe.yaml"), "--judged-bytes", "4096", "--device", "cpu", **inside)
    assert trained["recipe"] == champion and trained["val_bpb"] > 0, trained
    print(f"rebuilt in another folder and trained there: {trained['val_bpb']:.4f} bits per byte", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="foundry-agent-") as name:
        place, begun = Path(name), time.monotonic()
        os.environ["FOUNDRY_KEYS"], os.environ["FOUNDRY_CACHE"] = str(place / "keys"), str(place / "cache")
        project = place / "project"
        write_tiny(project / "experiments/baseline.yaml", train__optimizer__lr=3e-4, budget__tokens=64 * 48)
        rebuilt(project, anyio.run(work, project), place / "elsewhere")
        print(f"an agent's part, from its source to the baseline: {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
