"""The judge, PROTECTED: score, splicing, the model's process and the judge's. May not: import what asks it."""
