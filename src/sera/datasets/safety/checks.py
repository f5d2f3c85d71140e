"""What a pattern cannot say: checksums, ranges of addresses, randomness. By name, for `rules.toml`."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from itertools import pairwise

_IBAN_LENGTHS = range(15, 35)
_CARDS = (
    re.compile(r"4(?:\d{12}|\d{15}|\d{18})"),
    re.compile(r"(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"),
    re.compile(r"3[47]\d{13}"),
    re.compile(r"6(?:011|5\d{2})\d{12}"),
)
"""Length and first digits, by issuer."""
_SMALL_NUMBER = 20
_PHONE_DIGITS = range(10, 16)
_FICTITIOUS = re.compile(r"555[ .-]?01\d\d$|^(?:\D*\d)?\D*(\d)(?:\D*\1)+$|1234")
"""Numbers kept free for stories, one digit throughout, and typed rows."""

_CLASSES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[0-9]"))
_WORD = re.compile(r"[A-Za-z][a-z]{4,}")
_NAME_PART = re.compile(r"(?:[a-z]+|[A-Z]+|[A-Z]?[a-z]+(?:[A-Z][a-z]+)*)?\d{0,4}|\d+|[a-z]{1,2}\d[a-z]*")
"""What the parts of `s3_connection`, `DIRECT_KEY_128` and `year=2019/part-0.parquet` look like."""
_NAMED_BITS, _NAMED_CHANGES = 3.0, 0.2
_LONG_BITS, _LONG_CHANGES = 4.4, 0.3


def entropy(text: str) -> float:
    """Shannon's entropy of the characters of `text`, in bits for each; 0 for an empty one."""
    counts, size = Counter(text).values(), len(text)
    return -sum(count / size * math.log2(count / size) for count in counts) if text else 0.0


def changes(text: str) -> float:
    """The share of neighbours of different kinds (small, capital, digit, other), 0…1. Identifiers change
    at word boundaries only, random strings every other character."""
    kinds = [next((n for n, kind in enumerate(_CLASSES) if kind.match(letter)), -1) for letter in text]
    return sum(a != b for a, b in pairwise(kinds)) / max(len(text) - 1, 1)


def named_secret(value: str) -> bool:
    """Whether a value that a name calls a secret looks like one: letters and digits, well mixed."""
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    if not mixed or all(map(_NAME_PART.fullmatch, re.split(r"[^A-Za-z0-9]+", value))):
        return False
    return entropy(value) >= _NAMED_BITS and changes(value) >= _NAMED_CHANGES


def random(value: str) -> bool:
    """Whether a string that nothing names is random beyond what words, paths and hashes in hex reach."""
    mixed = all(kind.search(value) for kind in _CLASSES)
    words = sum(map(len, _WORD.findall(value)))
    return (
        mixed
        and words * 4 < len(value)
        and entropy(value) >= _LONG_BITS
        and changes(value) >= _LONG_CHANGES
        and not re.search(r"(.)\1{3}|0123|1234|abcd|ABCD", value)
    )


def phone(value: str) -> bool:
    """Whether the digits can be those of a number, and of none that is kept for examples."""
    digits = re.sub(r"\D", "", value)
    return len(digits) in _PHONE_DIGITS and not _FICTITIOUS.search(value)


def iban(value: str) -> bool:
    """ISO 13616: moved by four and read as a number, the rest by 97 is 1."""
    plain = value.replace(" ", "")
    number = "".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])
    return len(plain) in _IBAN_LENGTHS and int(number) % 97 == 1


def card(value: str) -> bool:
    """Luhn's check digit, and length and first digits of one of the large issuers."""
    digits = re.sub(r"\D", "", value)
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2])
    total = sum(map(int, digits[::-2])) + sum(doubled)
    return total % 10 == 0 and len(set(digits)) > 2 and any(issuer.fullmatch(digits) for issuer in _CARDS)


def public_ip(value: str) -> bool:
    """Whether an address is routed on the Internet: not private, reserved, or kept for documentation. One
    of small numbers only is taken for the number of a section or version."""
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and max(address.packed) >= _SMALL_NUMBER


CHECKS: Mapping[str, Callable[[str], bool]] = {
    check.__name__: check for check in (named_secret, random, phone, iban, card, public_ip)
}
