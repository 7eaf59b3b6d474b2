"""A server that speaks as much of OpenAI's protocol as a campaign needs, and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.interface.test_untrusted import HOSTILE


class Server(ThreadingHTTPServer):
    """Speaks OpenAI's protocol. answer: the text for the nth request, or an HTTP status, or None: none ever comes."""

    daemon_threads = True

    def __init__(self, answer: Callable[[int], Any]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.requests, self.headers = answer, list[dict[str, Any]](), list[Any]()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        self.server.headers.append(self.headers)
        found = self.server.answer(len(self.server.requests))
        if found is None:
            self.server.over.wait()
            return
        if request.keys() & {"tools", "tool_choice", "response_format"}:
            found = 400
        message = {"role": "assistant", "content": found}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        data = json.dumps({"error": {"message": HOSTILE}} if isinstance(found, int) else body).encode()
        self.send_response(found if isinstance(found, int) else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None: ...
