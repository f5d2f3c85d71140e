"""JSON Lines, the form of every list on disk."""

import msgspec


def json_line(value: object) -> bytes:
    """One line of a JSON Lines file."""
    return msgspec.json.encode(value) + b"\n"
