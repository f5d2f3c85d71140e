"""No text in a row holds a mark of the template: a file that does so ends turns where none ends."""

from collections.abc import Iterator

import msgspec

from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.render import Row
from sera.datasets.rendering.student import Student


def marks_in_texts(row: Row, student: Student) -> Iterator[Fault]:
    """Looks at the row as it is stored, since the rendering of such a row cannot be trusted."""
    for number, message in enumerate(row["messages"]):
        written = msgspec.json.encode(message).decode()
        for mark in student.marks:
            if mark in written:
                yield Fault(
                    Kind.INJECTED_MARK,
                    str(row.get("id", "")),
                    number,
                    f"the text of a {message.get('role')} turn holds {mark!r}, which the tokenizer reads "
                    f"as the structure of the conversation: leave the sample out",
                )
