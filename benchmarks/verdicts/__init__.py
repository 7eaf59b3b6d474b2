"""The measurements behind docs/verdicts.md: simulated campaigns, power, tails, and replays of recorded runs."""
