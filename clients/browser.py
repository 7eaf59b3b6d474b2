"""The page in a real browser, during a real campaign: `make check-clients`. Needs Debian's chromium, or CHROMIUM.

A campaign of runs of 200 steps trains in a folder of its own while a browser looks: curves must grow and the champion
change without a reload, a row open, a server that is killed be gone on with, and hostile texts stay texts. Pictures
stay in build/clients. May not: be part of the tests, which have no browser.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "build" / "clients"
FOUNDRY = Path(sys.executable).with_name("foundry")
HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>\x1b[31mred\u202e"
SPACE = "mutations: [lr:1e-2, lr:3e-3, norm:rmsnorm, init:zero]\n"
"""Few, so that a promotion is soon: at its learning rate the baseline is far from its best."""
STEPS, BATCH, CONTEXT = 200, 4, 32
PATIENCE_SECONDS = 420.0
RUNS_OF_LARGE = 10_000


def main() -> int:
    chromium = os.environ.get("CHROMIUM") or _first("/usr/bin/chromium", "/usr/bin/chromium-browser")
    if not chromium:
        print("check-clients needs a browser: apt-get install chromium, or CHROMIUM=/its/path", file=sys.stderr)
        return 2
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        environment = {**os.environ, "FOUNDRY_KEYS": str(home / "keys"), "COLUMNS": "200"}
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        checks = Checks(browser, home / "small", environment)
        checks.all()
        large(browser, home / "large", environment, checks)
        browser.close()
    for name, told in checks.held:
        print(f"ok   {name}" + (f": {told}" if told else ""))
    for name, told in checks.broken:
        print(f"FAIL {name}: {told}")
    print(f"pictures: {PICTURES}")
    return 1 if checks.broken else 0


def _first(*paths: str) -> str:
    return next((path for path in paths if Path(path).exists()), "")


class Checks:
    """What was looked at, in order, with what was seen."""

    def __init__(self, browser: Browser, home: Path, environment: dict[str, str]) -> None:
        self.browser, self.home, self.environment = browser, home, environment
        self.held: list[tuple[str, str]] = []
        self.broken: list[tuple[str, str]] = []
        self.outside: list[str] = []

    def check(self, name: str, holds: Any, told: str = "") -> None:
        (self.held if holds else self.broken).append((name, told))

    def page(self, url: str, dark: bool = False) -> Page:
        page = self.browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark" if dark else "light")
        page.on("request", lambda request: self.outside.append(request.url) if _is_outside(request.url) else None)
        page.on("pageerror", lambda error: self.broken.append(("an error in the page", str(error)[:300])))
        page.goto(url)
        return page

    def all(self) -> None:
        self.home.mkdir(parents=True)
        write_recipe(self.home)
        with serving(self.home, self.environment) as first:
            page = self.page(first.url)
            self.until(page, "nothing has run", lambda: page.locator("#nothing").is_visible())
            with open(self.home / "log", "w") as log:
                campaign = subprocess.Popen(
                    [FOUNDRY, "campaign", "--runs", "130", "--space", "space.yaml", "--strategy", "evolve",
                     "--jobs", "2", "--judged-bytes", "4096", "--device", "cpu"],
                    cwd=self.home, env=self.environment, stdout=subprocess.DEVNULL, stderr=log,
                )  # fmt: skip
            try:
                self.during(page, first, campaign)
            finally:
                campaign.send_signal(signal.SIGINT)
                campaign.wait(120)
        self.afterwards()

    def during(self, page: Page, first: Server, campaign: subprocess.Popen[bytes]) -> None:
        page.evaluate("() => { window.here = 'since the start'; }")
        running = "(current ? current.curves : []).filter((c) => c.role === 'running')"
        points = f"() => Math.max(0, ...{running}.map((c) => c.steps.length))"
        grown: list[int] = []

        def grows() -> bool:
            if (now := page.evaluate(points)) and (not grown or now > grown[-1]):
                grown.append(now)
            return len(grown) >= 3

        self.until(page, "a curve grows without a reload", grows, lambda: f"points seen {grown}")
        page.screenshot(path=PICTURES / "1-a-curve-grows.png", full_page=True)
        self.hostile()
        self.check("before it is killed the server is live", page.locator("#status.live").is_visible())
        first.kill()
        self.until(page, "a killed server is said", lambda: "lost" in page.locator("#status").inner_text())
        with serving(self.home, self.environment, first.port) as again:
            self.check("it is back on its port", again.port == first.port, again.url)
            self.until(page, "the page goes on with the next server", lambda: page.locator("#status.live").is_visible())
            grown.clear()
            self.until(page, "and a curve grows again", grows, lambda: f"points seen {grown}")
            doubled = "() => current.curves.some((c) => c.steps.some((s, i) => i && s <= c.steps[i - 1]))"
            self.check("no point of a curve is there twice", not page.evaluate(doubled))
            start = page.evaluate("() => current.champion && current.champion.recipe")
            changed = lambda: page.evaluate("() => current.champion && current.champion.promotions > 0")  # noqa: E731
            self.until(page, "the champion changes without a reload", changed)
            self.check("it was another before", page.evaluate("() => current.champion.recipe") != start, start or "")
            self.check("nothing was reloaded", page.evaluate("() => window.here") == "since the start")
            self.shown_as_text(page)
            self.row(page)
            page.screenshot(path=PICTURES / "2-promoted.png", full_page=True)
            self.refused(again)
            dark = self.page(again.url, dark=True)
            self.until(dark, "a second browser sees the same", lambda: dark.locator("tr.row").count() > 3)
            dark.screenshot(path=PICTURES / "3-dark.png", full_page=True)
            narrow = self.page(again.url)
            narrow.set_viewport_size({"width": 420, "height": 900})
            self.until(narrow, "a narrow one too", lambda: narrow.locator("tr.row").count() > 3)
            narrow.screenshot(path=PICTURES / "4-narrow.png")
            wide = "() => document.documentElement.scrollWidth <= innerWidth + 1"
            self.check("nothing sticks out of a narrow page", narrow.evaluate(wide))
            campaign.send_signal(signal.SIGINT)
            campaign.wait(120)
            over = lambda: page.evaluate("() => !current.loop.alive && !current.running.length")  # noqa: E731
            self.until(page, "the end of the campaign is seen", over)

    def hostile(self) -> None:
        propose = [FOUNDRY, "propose", "ema:0.9", "--why", HOSTILE, "--who", HOSTILE]
        subprocess.run(propose, cwd=self.home, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        write = (
            "import sys; from foundry.ledger.ledger import Ledger\n"
            "with Ledger.open() as ledger:\n"
            "    ledger.proposals.add(*sys.argv[1:2] * 3)\n"
            "    with ledger._file.writing() as write:\n"
            '        write.execute("INSERT INTO recipes(fingerprint, name, content, sources, created) VALUES '
            "('f', ?, '{}', '{}', 0)\", sys.argv[1:2])\n"
            '        write.execute("INSERT INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, status, '
            "reason, detail, created) VALUES ('f', 'f', 1, 1, '', '', 'failed', 'crash', ?, 0)\", sys.argv[1:2])\n"
        )
        subprocess.run([sys.executable, "-c", write, HOSTILE], cwd=self.home, env=self.environment, check=True)

    def shown_as_text(self, page: Page) -> None:
        shown = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>\\u001b[31mred\\u202e"
        self.until(page, "a hostile detail is shown as text", lambda: shown in page.locator("#failures").inner_text())
        nothing = page.evaluate("() => !document.querySelector('main img, main script') && document.title !== 'run'")
        self.check("and nothing came of it", nothing)

    def row(self, page: Page) -> None:
        page.locator("tr.row").first.click()
        opened = page.locator("tr.below .open")
        self.until(page, "a row opens its diff", lambda: opened.count() and opened.locator(".edits div").count() > 0)

    def refused(self, server: Server) -> None:
        asked = {
            "421": ({"Host": "evil.example"}, "GET"),
            "403": ({"Origin": "http://evil.example"}, "GET"),
            "405": ({}, "POST"),
        }
        for status, (headers, method) in asked.items():
            request = urllib.request.Request(server.url, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request) as answer:
                    got = answer.status
            except urllib.error.HTTPError as error:
                got = error.code
            self.check(f"{method} with {headers or 'nothing'} is refused", str(got) == status, str(got))
        away = subprocess.run([FOUNDRY, "serve", "--host", "0.0.0.0"], cwd=self.home, capture_output=True, text=True)
        self.check("another address without a token is refused", away.returncode == 2, away.stderr.strip())

    def afterwards(self) -> None:
        """The file of the same, from the disk, and what left the machine."""
        made = subprocess.run(
            [FOUNDRY, "report", "--html", "file.html", "--card", str(PICTURES / "card.png"), "--json"],
            cwd=self.home, env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        page = self.page((self.home / "file.html").as_uri())
        self.until(page, "the file opens from the disk", lambda: page.locator("tr.row").count() > 3)
        self.row(page)
        page.screenshot(path=PICTURES / "5-file.png", full_page=True)
        self.check("the file is small", True, f"{json.loads(made.stdout)['bytes']:,} bytes")
        self.check("nothing was asked of another machine", not self.outside, ", ".join(self.outside[:5]))

    def until(self, page: Page, name: str, holds: Callable[[], Any], told: Callable[[], str] = lambda: "") -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE_SECONDS:
            if holds():
                return self.check(name, True, told() or f"after {time.monotonic() - begun:.1f} s")
            page.wait_for_timeout(200)
        page.screenshot(path=PICTURES / "failed.png", full_page=True)
        return self.check(name, False, f"not within {PATIENCE_SECONDS:.0f} s {told()}")


def _is_outside(url: str) -> bool:
    return not url.startswith(("data:", "blob:", "file:", "about:", "http://127.0.0.1:"))


class Server:
    """A `foundry serve` of its own."""

    def __init__(self, home: Path, environment: dict[str, str], port: int) -> None:
        command = [FOUNDRY, "serve", "--port", str(port), "--json"]
        self.process = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        document = json.loads(b"".join(iter(self.process.stdout.readline, b"}\n")) + b"}")
        self.url, self.port = document["url"], document["port"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(home: Path, environment: dict[str, str], port: int = 0) -> Iterator[Server]:
    server = Server(home, environment, port)
    try:
        yield server
    finally:
        server.kill()


def write_recipe(home: Path) -> None:
    """The shipped baseline, small, at a learning rate that is far too low."""
    from foundry.core import yaml_io

    text = (ROOT / "experiments" / "baseline.yaml").read_text()
    values = yaml_io.parse(text)
    values["model"] |= {"layers": 2, "width": 32, "context": CONTEXT}
    values["model"]["attention"] |= {"heads": 2, "kv_heads": 2}
    values["train"]["batch_size"] = BATCH
    values["train"]["optimizer"]["lr"] = 1e-4
    values["budget"]["tokens"] = STEPS * BATCH * CONTEXT
    (home / "experiments").mkdir()
    yaml_io.save(home / "experiments" / "baseline.yaml", values, text)
    (home / "space.yaml").write_text(SPACE)


def large(browser: Browser, home: Path, environment: dict[str, str], checks: Checks) -> None:
    """A ledger of many runs: how long until its page is painted, and its report written. Measured, not asserted."""
    home.mkdir(parents=True)
    script = f"from clients.large_ledger import make; make({RUNS_OF_LARGE})"
    path = {**environment, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=home, env=path, check=True)
    with serving(home, environment) as server:
        for turn in ("the first", "the next"):
            page = checks.page(server.url)
            page.wait_for_function("() => document.querySelectorAll('tr.row').length > 10")
            taken = page.evaluate("() => performance.now()") / 1e3
            checks.check(
                f"{RUNS_OF_LARGE:,} runs painted, {turn} time", True, f"{taken:.2f} s after the page was asked"
            )
        page.screenshot(path=PICTURES / "6-large.png", full_page=True)
    begun = time.monotonic()
    measured = (
        "import resource; from foundry.interface.cli import main; main(['report'])\n"
        "print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), 'MB')"
    )
    done = subprocess.run([sys.executable, "-c", measured], cwd=home, env=environment, capture_output=True, text=True)
    told = f"{time.monotonic() - begun:.1f} s as a whole process, {' '.join(done.stdout.split())}"
    checks.check("its report", not done.returncode, told)


if __name__ == "__main__":
    sys.exit(main())
