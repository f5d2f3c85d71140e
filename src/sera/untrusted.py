"""JSON from strangers, such as arguments of tool calls or answers of a sandbox: what is wrong with it fails
in one way."""

from typing import Any

import msgspec


def decode(text: str | bytes | memoryview, kind: Any = Any) -> Any:
    """The value of a JSON text. Raises `msgspec.DecodeError`, also for what is nested too deeply."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError as problem:
        raise msgspec.DecodeError(f"it is no text: {problem}") from None
