"""Statistics as pure functions: sequential test, error budget, verdict, noise scale, fresh seeds. Knows only core."""

SCALE_PRIOR_DF = 4.0  # σ₀ counts as four past residuals: at 2 × off it costs .07 of power at d = 1, not .12
MOST_PAIRS = 60  # winners stay exact in 64 bits, for the vectorised twin of the test (power.py)
