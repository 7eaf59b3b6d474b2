"""Values from the stream alone (Vaswani et al. 2017). May not: add anything."""

from __future__ import annotations

from foundry.modules.values import Values, ValuesConfig, ValueSizes


class Config(ValuesConfig):
    def build(self, sizes: ValueSizes) -> Values | None:
        return None
