"""The judge, PROTECTED: score, probes, sandbox, evidence, error budget, verdict. May not: import runs or search."""
