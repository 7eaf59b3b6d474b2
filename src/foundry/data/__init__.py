"""corpus → filter → tokenize → pack → stream. May not: know a model."""
