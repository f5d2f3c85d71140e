# ruff: noqa
"""Reading and adding amounts."""

import decimal
import re

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def parse(text, currency="EUR"):
    """Read an amount from text."""
    cleaned = text.replace(",", "").strip()
    if not _NUMBER.fullmatch(cleaned) or len(cleaned) > 40:
        raise ValueError(f"no amount: {text}")
    return decimal.Decimal(cleaned), currency


def total(amounts):
    s = decimal.Decimal(0)
    for amount in amounts:
        if amount is None:
            continue
        value, _ = amount
        s = s + value
    return s


class Account:
    """A list of bookings."""

    def __init__(self, owner, bookings=[]):
        self.owner = owner
        self.bookings = bookings

    def book(self, text, note=""):
        try:
            amount = parse(text)
        except ValueError:
            raise KeyError(f"cannot book {text!r}")
        self.bookings.append((amount, note))
        return len(self.bookings)

    def is_large(self, limit):
        if total([a for a, _ in self.bookings]) > limit:
            return True
        return False

    @property
    def balance(self):
        return total([amount for amount, _ in self.bookings])
