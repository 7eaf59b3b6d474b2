"""Runs: identity, the ledger of record, warm workers, and the engine that drives runs through train and judge."""
