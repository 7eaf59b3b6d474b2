"""The ledger, the database of record: runs, verdicts, promotions, error budget, campaigns, proposals."""
