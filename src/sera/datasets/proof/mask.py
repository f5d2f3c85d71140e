"""The loss covers what the assistant says with the end of its turn, and nothing else.

Shown in another way than the mask was made. The conversation is rendered once more with every assistant
turn reduced to one word. What stands between these words nobody but the template and the other side can
have said, and it must be, character by character, what the tokens outside the turns decode to. The turns
themselves must each hold all that their message says.
"""

from collections.abc import Iterator
from itertools import pairwise

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.render import template_messages, template_tools

_WORD = "Sera7Word"


def mask_is_exact(case: Case) -> Iterator[Fault]:
    found = case.rendered
    if not any(found.mask):
        yield case.fault(Kind.NOTHING_TRAINED, "no token is in the loss: leave the row out")
    for message in case.messages:
        if message.get("train") and message["role"] != "assistant":
            yield case.fault(Kind.MASK, f"a message of the {message['role']} is marked to be in the loss")
    edges = [0, *(edge for span in found.turns for edge in (span.first, span.stop)), len(found.ids)]
    outside = [case.student.decode(found.ids[a:b]) for a, b in list(pairwise(edges))[::2]]
    others = _others(case)
    for number, (decoded, expected) in enumerate(zip(outside, others, strict=True)):
        if decoded != expected:
            span = found.turns[min(number, len(found.turns) - 1)]
            yield case.fault(Kind.MASK, _difference(decoded, expected), span, place=edges[2 * number])
    for span in found.turns:
        said = case.student.decode(found.ids[span.first : span.stop])
        content = str(case.messages[span.message].get("content") or "").strip()
        if content not in said:
            yield case.fault(Kind.MASK, f"the turn leaves out what was said: {content[:60]!r}", span)
        if any(inside != span.train for inside in found.mask[span.first : span.stop]):
            yield case.fault(Kind.MASK, "the mask does not follow the turn's `train`", span)
        if not said.endswith(case.student.end) or said.count(case.student.end) != 1:
            yield case.fault(Kind.MASK, "the turn does not end with the mark that ends turns", span)


def _others(case: Case) -> list[str]:
    """What everybody but the assistant says, between its turns, with the template's own words."""
    before = case.student.template.marks.before
    messages = [
        {"role": "assistant", "content": _WORD} if message["role"] == "assistant" else message
        for message in template_messages(case.row)
    ]
    pieces = case.student.template.render(messages, template_tools(case.row)).split(_WORD)
    # What a template puts between its prompt and the first word is the assistant's to say.
    opened = [piece[: piece.rfind(before) + len(before)] for piece in pieces[:-1]] + pieces[-1:]
    return [opened[0], *(piece.removeprefix(case.student.end) for piece in opened[1:])]


def _difference(decoded: str, expected: str) -> str:
    place = next(
        (n for n, (a, b) in enumerate(zip(decoded, expected, strict=False)) if a != b),
        min(len(decoded), len(expected)),
    )
    return (
        f"what is outside the loss is not what others said: {decoded[place : place + 40]!r} where "
        f"{expected[place : place + 40]!r} is due"
    )
