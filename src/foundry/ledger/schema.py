"""The ledger's tables, as SQL. May not: be edited in place once released; a change is a new version with its migration.

`seq` orders rows by when they were written: clocks step, sequences don't. Times are Unix seconds, for people only.
"""

from __future__ import annotations

from collections.abc import Iterator

APPLICATION_ID = 0x466E6472  # "Fndr": tells a ledger from another program's database
VERSION = 7

STATEMENTS = (
    """CREATE TABLE recipes(
        seq INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        sources TEXT NOT NULL,          -- JSON: path in the recipe -> {hash, file, text} of workspace code
        created REAL NOT NULL)""",
    """CREATE TABLE runs(
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        recipe TEXT NOT NULL REFERENCES recipes(fingerprint),
        seed INTEGER NOT NULL,
        budget_tokens INTEGER NOT NULL,
        data_hash TEXT NOT NULL,
        judged_hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'queued' CHECK(status IN ('queued', 'running', 'trained', 'done', 'failed')),
        reason TEXT,
        detail TEXT NOT NULL DEFAULT '',
        train_loss REAL, tokens INTEGER, flops REAL, steps INTEGER, seconds REAL,
        device TEXT, tier TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        owner TEXT,                     -- who trains it now; void as soon as that process is dead
        fence INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL, started REAL, finished REAL,
        CHECK((status = 'failed') = (reason IS NOT NULL)),
        CHECK((status = 'running') = (owner IS NOT NULL)))""",
    "CREATE INDEX runs_by_recipe ON runs(recipe, seq)",
    "CREATE INDEX runs_by_status ON runs(status, seq)",
    """CREATE TABLE scores(
        seq INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs(id),
        split TEXT NOT NULL,
        bpb REAL NOT NULL CHECK(bpb >= 0 AND bpb < 1e308),
        bytes INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        seconds REAL NOT NULL,
        probes TEXT NOT NULL,
        protocol TEXT NOT NULL,         -- how it was measured: scores of two protocols are not comparable
        created REAL NOT NULL,
        UNIQUE(run, split, protocol))""",
    """CREATE TABLE split_reads(
        seq INTEGER PRIMARY KEY,
        split TEXT NOT NULL,
        run TEXT NOT NULL REFERENCES runs(id),
        purpose TEXT NOT NULL,
        season INTEGER NOT NULL,
        created REAL NOT NULL,
        UNIQUE(split, run, purpose, season))""",
    """CREATE TABLE plans(
        key TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        content TEXT NOT NULL,
        created REAL NOT NULL,
        PRIMARY KEY(key, attempt))""",
    """CREATE TABLE verdicts(
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        key TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        kind TEXT NOT NULL,
        baseline TEXT NOT NULL REFERENCES recipes(fingerprint),
        candidate TEXT NOT NULL REFERENCES recipes(fingerprint),
        content TEXT NOT NULL,
        created REAL NOT NULL,
        UNIQUE(key, attempt))""",
    "CREATE INDEX verdicts_by_candidate ON verdicts(candidate, seq)",
    """CREATE TABLE promotions(
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        track TEXT NOT NULL,
        kind TEXT NOT NULL CHECK(kind IN ('adopt', 'promote', 'revert')),
        from_fp TEXT REFERENCES recipes(fingerprint),
        to_fp TEXT NOT NULL REFERENCES recipes(fingerprint),
        mutation TEXT NOT NULL,
        verdict TEXT REFERENCES verdicts(id),
        old_text TEXT NOT NULL,
        new_text TEXT NOT NULL,
        effect TEXT NOT NULL,
        created REAL NOT NULL,
        written REAL,                   -- when the baseline file was known to hold new_text
        reverted REAL)""",
    "CREATE INDEX promotions_by_track ON promotions(track, seq)",
    """CREATE TABLE seasons(
        id INTEGER PRIMARY KEY,
        rules TEXT NOT NULL,
        created REAL NOT NULL,
        closed REAL)""",
    """CREATE TABLE tests(
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        season INTEGER NOT NULL REFERENCES seasons(id),
        j INTEGER NOT NULL,
        alpha REAL NOT NULL CHECK(alpha >= 0 AND alpha < 1),
        promotions_at_start INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'open' CHECK(state IN ('open', 'passed', 'failed', 'void')),
        verdict TEXT REFERENCES verdicts(id),
        created REAL NOT NULL,
        closed REAL,
        UNIQUE(season, j))""",
    """CREATE TABLE proposals(
        seq INTEGER PRIMARY KEY,
        mutation TEXT NOT NULL,
        why TEXT NOT NULL,
        who TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued' CHECK(state IN ('queued', 'taken', 'done', 'refused')),
        owner TEXT,
        result TEXT NOT NULL DEFAULT '{}',
        created REAL NOT NULL)""",
    "CREATE INDEX proposals_by_state ON proposals(state, seq)",
    "CREATE TABLE sweeps(id TEXT PRIMARY KEY, state TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL)",
    "CREATE TABLE secrets(name TEXT PRIMARY KEY, value BLOB NOT NULL, created REAL NOT NULL)",
    "CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)

SINCE: dict[int, tuple[str, ...]] = {
    1: STATEMENTS,
    2: (
        "CREATE TABLE leases(name TEXT PRIMARY KEY, owner TEXT, fence INTEGER NOT NULL, taken REAL NOT NULL)",
        """CREATE TABLE events(
            seq INTEGER PRIMARY KEY,
            track TEXT NOT NULL,
            kind TEXT NOT NULL,
            fence INTEGER NOT NULL,
            content TEXT NOT NULL,
            created REAL NOT NULL)""",
        "CREATE INDEX events_by_track ON events(track, seq)",
        "CREATE INDEX events_by_kind ON events(kind, seq)",
    ),
    3: (
        "ALTER TABLE seasons ADD COLUMN stream TEXT NOT NULL DEFAULT 'better'",
        "ALTER TABLE seasons ADD COLUMN opened_by TEXT NOT NULL DEFAULT 'rule'",
        "ALTER TABLE seasons ADD COLUMN why TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX seasons_by_stream ON seasons(stream, id)",
        "CREATE INDEX promotions_by_verdict ON promotions(verdict)",
        "CREATE TABLE codes(fingerprint TEXT PRIMARY KEY, content TEXT NOT NULL)",
        "ALTER TABLE runs ADD COLUMN code TEXT REFERENCES codes(fingerprint)",  # NULL: of a time that kept none
        "CREATE INDEX runs_by_code ON runs(code, seq)",
    ),
    4: (
        "ALTER TABLE runs ADD COLUMN limits TEXT",  # JSON: what a run that failed for want of it was allowed
        "ALTER TABLE runs ADD COLUMN kept TEXT NOT NULL DEFAULT ''",  # who wants its weights kept
        "ALTER TABLE runs ADD COLUMN weights_bytes INTEGER NOT NULL DEFAULT 0",  # on the disk; 1: nobody has looked
        "CREATE INDEX runs_with_weights ON runs(seq) WHERE weights_bytes > 0",
    ),
    5: (
        "CREATE INDEX IF NOT EXISTS split_reads_by_season ON split_reads(split, season)",  # some of version 4 have both
        "CREATE INDEX IF NOT EXISTS promotions_by_champion ON promotions(to_fp, seq)",
        "UPDATE runs SET weights_bytes = 1 WHERE weights_bytes = 0 AND attempts > 0",  # older ones were never looked at
        """CREATE TABLE IF NOT EXISTS seals(
            seq INTEGER PRIMARY KEY,
            content TEXT NOT NULL,          -- JSON: an entry of the lineage with digests of its grounds, or a renaming
            link TEXT NOT NULL UNIQUE,
            signature TEXT NOT NULL,
            created REAL NOT NULL)""",
        "CREATE INDEX IF NOT EXISTS tests_by_verdict ON tests(verdict)",
        "ALTER TABLE runs ADD COLUMN cpu_seconds REAL",  # measured from outside; NULL: nobody has
    ),
    6: (
        "ALTER TABLE proposals ADD COLUMN fence INTEGER NOT NULL DEFAULT 0",
        "DROP TABLE IF EXISTS sweeps",  # nothing has read or written either since version 1
        "DROP TABLE IF EXISTS counters",
    ),
    7: (
        """CREATE TABLE jobs(
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            key TEXT UNIQUE,                -- NULL: who asked gave none
            command TEXT NOT NULL,          -- JSON: the verb and its arguments
            owner TEXT,                     -- the process that does it; NULL once it has said how it ended
            fence INTEGER NOT NULL DEFAULT 0,
            exit_code INTEGER,
            result TEXT,                    -- JSON, as printed; NULL too where the job is none of the newest
            created REAL NOT NULL, ended REAL)""",
        "CREATE INDEX jobs_that_run ON jobs(seq) WHERE owner IS NOT NULL",
    ),
}
"""What each version added: a ledger of an older one is given what it lacks."""

NEW_COLUMNS: dict[int, dict[str, str]] = {
    3: {"seasons": "'better' AS stream, 'rule' AS opened_by, '' AS why", "runs": "NULL AS code"},
    4: {"runs": "NULL AS limits, '' AS kept, attempts > 0 AS weights_bytes"},
    5: {"runs": "NULL AS cpu_seconds"},
    6: {"proposals": "0 AS fence"},
}
"""What each version's new columns would hold in an older ledger, by table."""
NEW_TABLES: dict[int, tuple[str, ...]] = {
    2: ("leases(name, owner, fence, taken)", "events(seq, track, kind, fence, content, created)"),
    3: ("codes(fingerprint, content)",),
    5: ("seals(seq, content, link, signature, created)",),
    7: ("jobs(seq, id, key, command, owner, fence, exit_code, result, created, ended)",),
}


def read_as(version: int) -> Iterator[str]:
    """Statements that show a reader, who may not change an older ledger, what it lacks."""
    shown: dict[str, list[str]] = {}
    for missing in range(version + 1, VERSION + 1):
        for table, columns in NEW_COLUMNS.get(missing, {}).items():
            shown.setdefault(table, []).append(columns)
        for table in NEW_TABLES.get(missing, ()):
            yield f"CREATE TEMP TABLE {table}"
    for table, columns in shown.items():
        yield f"CREATE TEMP VIEW {table} AS SELECT *, {', '.join(columns)} FROM main.{table}"
