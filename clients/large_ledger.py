"""A ledger of a long campaign that nobody ran, in the working directory: what the page is measured on."""

from __future__ import annotations

import json
import random

from foundry.core.fingerprint import fingerprint
from foundry.ledger.file import to_text
from foundry.ledger.ledger import Ledger

TRACK, FAMILIES = (
    "experiments/baseline.yaml",
    ("norm", "attention", "lr", "ema", "init", "depth", "schedule", "position"),
)
CANDIDATES = 8
"""Of a round; each is two runs, a quarter of them full."""


def make(runs: int) -> None:
    rng = random.Random(0)
    with Ledger.open() as ledger, ledger._file.writing() as write:
        at, run, level, champion = 1.7e9, 0, 3.0, ""

        def recipe(name: str) -> str:
            content = {"name": name, "model": {"layers": 4, "width": len(name)}, "budget": {"tokens": 10**6}}
            key = fingerprint([name, rng.random()])
            write.execute(
                "INSERT INTO recipes(fingerprint, name, content, sources, created) VALUES (?,?,?,'{}',?)",
                (key, name, to_text(content), at),
            )
            return key

        def trained(of: str, bpb: float, share: float) -> None:
            nonlocal run, at
            run, at = run + 1, at + 20
            key = fingerprint(["run", run])
            write.execute(
                "INSERT INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, status, tokens, flops, "
                "seconds, device, tier, attempts, created, started, finished) "
                "VALUES (?,?,?,?,'d','j','done',?,?,20,'cpu','none',1,?,?,?)",
                (key, of, run % 7, int(10**6 * share), int(10**6 * share), 1e13 * share, at, at, at + 20),
            )
            score = (key, bpb + rng.gauss(0, 0.01), at)
            write.execute(
                "INSERT INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, created) "
                "VALUES (?,'validation',?,32768,9000,1,'{}','p',?)",
                score,
            )

        def event(kind: str, **content: object) -> None:
            values = (TRACK, kind, to_text({"kind": kind, "runs": 8, "flops": 1e13, "seconds": 100.0, **content}), at)
            write.execute("INSERT INTO events(track, kind, fence, content, created) VALUES (?,?,1,?,?)", values)

        def crowned(to: str, before: str | None, effect: float, mutation: str) -> None:
            record = {"remeasured": {"effect_bpb": effect, "interval_bpb": [effect - 0.01, effect + 0.01], "n": 8}}
            kind = "promote" if before else "adopt"
            write.execute(
                "INSERT INTO promotions(id, track, kind, from_fp, to_fp, mutation, old_text, new_text, effect, "
                "created) VALUES (?,?,?,?,?,?,'','',?,?)",
                (fingerprint(to), TRACK, kind, before, to, mutation, json.dumps(record if before else {}), at),
            )

        champion = recipe("baseline")
        trained(champion, level, 1.0)
        crowned(champion, None, 0.0, "")
        event("opened", asked={"runs": runs}, champion=champion)
        while run < runs:
            words = [f"{rng.choice(FAMILIES)}:{rng.randrange(5)}" for _ in range(CANDIDATES)]
            points = [recipe(word) for word in words]
            entries = [{"word": word, "point": point} for word, point in zip(words, points, strict=True)]
            event("round", base=champion, seed=run % 7, entries=entries)
            trials = []
            for i, entry in enumerate(entries):
                full, gain = i < 4, rng.gauss(-0.01, 0.02)
                trained(entry["point"], level - gain, 0.25)
                if full:
                    trained(entry["point"], level - gain, 1.0)
                known = {"by": "evolve", "why": "expected to gain", "proposal": None, "gains": [], "fresh": []}
                status = "refuted" if i == 0 else "survived" if full else "eliminated"
                interval = [gain - 0.03, gain + 0.03] if full else None
                measured = {"gain": gain, "interval": interval, "share": 1.0 if full else 0.25, "flops": 1e13}
                reason = "no more than 0.0150, which may be noise"
                trials.append({**entry, **known, **measured, "status": status, "reason": reason, "worth": False})
            event("raced", trials=trials)
            if rng.random() < 0.02:
                crowned(points[0], champion, 0.02, words[0])
                champion, level = points[0], level - 0.02
        event("closed")
