"""Amounts of money and the files they come from."""

from ledger.amounts import parse, total

__all__ = ["parse", "total"]
