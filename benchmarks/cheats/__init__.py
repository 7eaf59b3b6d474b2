"""The shipped corpus of cheats and of honest models, tried against the judge and against a plain evaluator."""
