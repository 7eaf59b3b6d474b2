"""The live page's server: read-only for ever, by FastAPI and uvicorn (the extra `web`), imported here only.

Each answer opens the ledger anew and only reads; what is told as it happens is live.py's. May not: write anything.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, cast

from foundry.core.errors import FoundryError, RequestError
from foundry.core.untrusted import framed
from foundry.documents.failure import Failure
from foundry.documents.page import Served
from foundry.interface.web import page, views
from foundry.interface.web.guard import Address, App, Guard, is_loopback, listening, read_token
from foundry.interface.web.live import Cursor, Watch
from foundry.ledger.queries import reading

try:
    import uvicorn
    from fastapi import FastAPI, Header, Query, Request
    from fastapi.responses import HTMLResponse, Response
    from fastapi.sse import EventSourceResponse, ServerSentEvent
except ImportError as error:
    hint = "run `pip install 'foundry-train[web]'`"
    raise RequestError("serve.no_web", str(error.name), "the live page needs FastAPI and uvicorn", hint=hint) from None

TURN_SECONDS = 0.5
TROUBLE_SECONDS = 3.0
PORTS = 50
"""Tried from the one asked for on."""
MOST_CAMPAIGNS = 8
"""Whose pages are kept between two looks."""
MOST_CONNECTIONS = 64


def app(address: Address, token: str | None, campaign: str | None, ending: Callable[[], bool] = lambda: False) -> App:
    """The ASGI app behind its guard. ending: whether streams should end, for the server does."""
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    watches: OrderedDict[str | None, Watch] = OrderedDict()

    def watch(wanted: str | None) -> Watch:
        wanted = wanted if wanted is not None else campaign
        found = watches.setdefault(wanted, Watch(wanted))
        watches.move_to_end(wanted)
        while len(watches) > MOST_CAMPAIGNS:
            watches.popitem(last=False)
        return found

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, FoundryError)
        return _json(Failure.of(error).to_dict(), 404 if isinstance(error, RequestError) else 503)

    made.add_exception_handler(FoundryError, refused)

    @made.get("/")
    def whole() -> HTMLResponse:
        return HTMLResponse(page.html())

    @made.get("/api/page")
    def first(campaign: str | None = None) -> Response:
        text, cursor = watch(campaign).first()
        return Response(f'{text[:-1]},"cursor":{json.dumps(cursor)}}}', media_type="application/json")

    @made.get("/api/candidates")
    def candidates(
        campaign_: Annotated[str | None, Query(alias="campaign")] = None,
        offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        sort: str = "created_unix",
        descending: bool = True,
    ) -> Response:
        wanted = campaign_ if campaign_ is not None else campaign
        return _json(views.table(wanted, offset, limit, sort, descending).to_dict())

    @made.get("/api/candidate")
    def candidate(candidate: str, campaign_: Annotated[str | None, Query(alias="campaign")] = None) -> Response:
        return _json(views.opened(campaign_ if campaign_ is not None else campaign, candidate).to_dict())

    @made.get("/events", response_class=EventSourceResponse)
    async def events(
        request: Request,
        after: str = "",
        campaign: str | None = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        cursor, mine = Cursor.parse(last_event_id or after), watch(campaign)
        yield ServerSentEvent(comment="here", retry=1000)
        while not ending():
            try:
                for event in await asyncio.to_thread(mine.news, cursor):
                    cursor = event.cursor
                    yield ServerSentEvent(raw_data=event.data, event=event.name, id=str(cursor))
            except FoundryError as error:
                yield ServerSentEvent(raw_data=page.to_text({"message": framed(str(error))}), event="trouble")
                await asyncio.sleep(TROUBLE_SECONDS)
            await asyncio.sleep(TURN_SECONDS)

    return Guard(cast(App, made), address, token)


def _json(values: dict[str, Any], status: int = 200) -> Response:
    return Response(page.to_text(values), status, media_type="application/json")


def serve(
    host: str, port: int, token_file: Path | None, campaign: str | None, told: Callable[[Served, str], None]
) -> None:
    """Serve until interrupted; `told` hears where, and what there is to say of that.

    Raises RequestError for an address that may not or can't be used, and for an unknown campaign."""
    if not is_loopback(host) and token_file is None:
        message = "others could look from there"
        hint = "give --token-file FILE, or stay on 127.0.0.1 and use ssh -L"
        raise RequestError("serve.not_loopback", "--host", message, got=host, hint=hint)
    token = read_token(token_file) if token_file is not None else None
    with reading() as file:
        name, _ = views.campaign_of(file, campaign)
    with listening(host, port, PORTS, "--port") as bound:
        address = Address(host.lower(), bound.getsockname()[1])
        ends: list[uvicorn.Server] = []
        served = app(address, token, campaign, lambda: bool(ends and ends[0].should_exit))
        config = uvicorn.Config(
            cast(Any, served), log_config=None, access_log=False, lifespan="off", server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=1, limit_concurrency=MOST_CONNECTIONS,
        )  # fmt: skip
        ends.append(uvicorn.Server(config))
        moved = f"port {port} is in use" if port and address.port != port else ""
        told(Served(url=address.url, host=address.host, port=address.port, campaign=name), moved)
        ends[0].run(sockets=[bound])
