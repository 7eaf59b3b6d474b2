"""Tools that work: propose, write_part, check, start, wait, stop, report. None promotes, reverts or adopts: that is the
engine's, inside what is started, and a person's. What would spend error budget asks the person first.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from foundry.core import places
from foundry.core.errors import FoundryError, RequestError
from foundry.documents.underway import Waited
from foundry.interface.api import Project
from foundry.interface.mcp.server import Server, as_text
from foundry.interface.mcp.tools import READS, Baseline, answer, tool_of

WAIT_SECONDS = 40.0
"""Below what a call may last, so that a wait ends in its own words."""
TELL_SECONDS = 1.0
WORKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
AGAIN = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

Verb = Literal["train", "sweep", "compare", "campaign", "reproduce", "check", "sample"]
Words = Annotated[list[str], Field(description='As on the command line: ["norm:rmsnorm", "--jobs", "2"].')]
Key = Annotated[str | None, Field(description="A name of yours. Asked for again with it, it is the same job.")]


class Permission(BaseModel):
    """A person's word."""

    agreed: bool = Field(description="Spend error budget on this?")


def spends(verb: str, arguments: Sequence[str]) -> bool:
    """Whether a verb may certify, which spends error budget whatever comes of it."""
    return verb == "campaign" or (verb == "sweep" and "--promote" in arguments)


async def permission(
    verb: Verb, arguments: list[str], spend_budget: bool, ctx: Context[Any, Any]
) -> Permission | Elicit[Permission]:
    if spend_budget or not spends(verb, arguments):
        return Permission(agreed=True)
    able = ctx.client_capabilities
    if able is None or able.elicitation is None:
        return Permission(agreed=False)
    asked = " ".join(["foundry", verb, *arguments])
    return Elicit(f"{asked[:500]}: this certifies what it finds, which spends error budget, and promotes it where it "
                  "holds. Go on?", Permission)  # fmt: skip


Asked = Annotated[ElicitationResult[Permission], Resolve(permission)]


def register(server: Server, project: Project) -> None:
    works, again, looks = (tool_of(server, each) for each in (WORKS, AGAIN, READS))

    @works
    async def propose(mutation: str, why: str = "", baseline: Baseline = None) -> str:
        """Queue a mutation (`family:variant`, stacked with `+`) that a campaign, now or later, tries first. why: what
        makes you think that it helps; it is kept with its result."""
        return await answer(project.propose, mutation, why=why, baseline=baseline)

    @works
    async def write_part(slot: str, kind: str, source: str, replaces: str = "") -> str:
        """Write workspace/modules/SLOT/KIND.py: a new kind, of the same shape as the package's files of that slot (it
        defines `class Config`). Nothing runs; `check` tries it. replaces: the hash of the source that stands there."""
        from foundry.promote.write_part import write_part as verb

        def written() -> Any:
            with places.within(project.folder):
                return verb(slot, kind, source, replaces)

        return await answer(written)

    @works
    async def check(file: str, ctx: Context[Any, Any]) -> str:
        """Try a workspace file against its slot's contract and the judge's probes, in a sandbox: what holds, what
        breaks, and how to mend it. Where that takes long the answer is a job to wait for."""
        # Not by the words alone: what runs may be trying an earlier source.
        job = await anyio.to_thread.run_sync(partial(project.start, "check", file, key=f"check {secrets.token_hex(6)}"))
        waited = await _waited(project, job.job, WAIT_SECONDS - 5, ctx)
        return as_text(waited.result if waited.result is not None else waited.to_dict())

    @again
    async def start(verb: Verb, arguments: Words, asked: Asked, key: Key = None, spend_budget: bool = False) -> str:
        """Start a verb as a job, which goes on whatever becomes of you and of this server; answers at once. The same
        key, or the same words while it runs, is the same job. `catalogue` of verbs has the options. A campaign, and
        sweep --promote, spend error budget: a person is asked, or has told you so (spend_budget)."""
        if not (isinstance(asked, AcceptedElicitation) and asked.data.agreed):
            message = f"{verb} spends error budget, and nobody has agreed to that"
            hint = "ask the person that you work for; spend_budget=true says that they agreed"
            raise RequestError("mcp.not_agreed", "spend_budget", message, hint=hint)
        return await answer(project.start, verb, *arguments, key=key)

    @looks
    async def wait(
        job: str, ctx: Context[Any, Any], seconds: Annotated[float, Field(ge=0, le=45)] = WAIT_SECONDS
    ) -> str:
        """Wait for a job, by id or key, and get its `result`; after so many seconds `state` is `running`, with what it
        trains: wait again. `lost`: its process was killed; start it again with the same key."""
        return as_text((await _waited(project, job, min(seconds, WAIT_SECONDS), ctx)).to_dict())

    @again
    async def stop(what: str) -> str:
        """Stop a job (or a campaign by its baseline file, or a run): it saves and ends, and the same command goes on
        from there."""
        return await answer(project.stop, what, who="agent")

    @again
    async def report(campaign: str | None = None) -> str:
        """Write what the ledger knows as one HTML file for a person to open; answers where it is."""
        return await answer(project.report, campaign=campaign)


async def _waited(project: Project, job: str, seconds: float, ctx: Context[Any, Any]) -> Waited:
    """The verb's answer; the client hears of its progress meanwhile, and that we are still there."""
    said, found = [""], list[Waited | FoundryError]()

    def heard(facts: dict[str, Any]) -> None:
        said.append(str(facts.get("say", "")))

    async def tell() -> None:
        begun, told = time.monotonic(), 0
        while True:
            passed = time.monotonic() - begun
            if len(said) > told or passed > 5 * told:
                told = len(said)
                await ctx.report_progress(round(passed, 1), seconds, said[-1] or "waiting")
            await anyio.sleep(TELL_SECONDS)

    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        verb = partial(project.wait, job, seconds=seconds, progress=heard)
        try:
            found.append(await anyio.to_thread.run_sync(verb, abandon_on_cancel=True))
        except FoundryError as error:  # out of the group it would come as a group
            found.append(error)
        group.cancel_scope.cancel()
    if isinstance(found[0], FoundryError):
        raise found[0]
    return found[0]
