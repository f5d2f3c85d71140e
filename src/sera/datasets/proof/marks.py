"""No text in a row holds a mark of the template: a file that does so ends turns where none ends."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.render import Row, template_tools
from sera.datasets.rendering.student import Student
from sera.untrusted import decode


def marks_in_texts(row: Row, student: Student) -> Iterator[Fault]:
    """Looks at the row as it is stored, since the rendering of such a row cannot be trusted."""
    for number, message in enumerate(row["messages"]):
        texts = list(_texts(message))
        for mark in student.marks:
            if any(mark in text for text in texts):
                yield _fault(row, number, f"the text of a {message.get('role')} turn holds {mark!r}")
    if "tools" in row:
        texts = list(_texts(template_tools(row)))
        for mark in student.marks:
            if any(mark in text for text in texts):
                yield _fault(row, None, f"the definition of a tool holds {mark!r}")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names of parameters too; arguments that are JSON also as templates have them."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
            if isinstance(arguments := value.get("arguments"), str):
                with suppress(msgspec.DecodeError):
                    waiting.append(decode(arguments))


def _fault(row: Row, number: int | None, found: str) -> Fault:
    return Fault(
        Kind.INJECTED_MARK,
        str(row.get("id", "")),
        number,
        f"{found}, which the tokenizer reads as the structure of the conversation: leave the sample out",
    )
