"""The loss covers what the assistant says with the end of its turn, and nothing else.

Shown in another way than the mask was made. The conversation is rendered once more with every assistant
turn reduced to one word. What stands between these words nobody but the template and the other side can
have said, and it must be, character by character, what the tokens outside the turns decode to. The turns
themselves must each hold all that their message says.

A tokenizer may change a text before it reads it: Qwen3's composes characters and their accents. So what is
due is what the tokenizer gives back of a text; `altered` says what it changes. What it has no tokens for is
lost, and a fault. So is a mark of the template that comes of such a change and is in no text.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.frame import shared
from sera.datasets.rendering.render import Row, joined, template_messages, template_tools
from sera.datasets.rendering.student import Student

_WORD = "Sera7Word"


def mask_is_exact(case: Case) -> Iterator[Fault]:
    found, student = case.rendered, case.student
    if not any(found.mask):
        yield case.fault(Kind.NOTHING_TRAINED, "no token is in the loss: leave the row out")
    for message in case.messages:
        if message.get("train") and message["role"] != "assistant":
            yield case.fault(Kind.MASK, f"a message of the {message['role']} is marked to be in the loss")
    edges, pieces = case.edges, case.pieces
    others = _others(case)
    if len(others) != len(pieces[::2]):
        yield case.fault(Kind.MASK, f"the template {student.template.name} writes an answer not exactly once")
    for number, (decoded, expected) in enumerate(zip(pieces[::2], others, strict=False)):
        # Every piece but the first stands behind the end of a turn, and some tokenizers heed what is before.
        if decoded != expected and decoded != student.as_read(expected, student.end if number else ""):
            span = found.turns[min(number, len(found.turns) - 1)]
            yield case.fault(Kind.MASK, _difference(decoded, expected), span, place=edges[2 * number])
    for span, said in zip(found.turns, pieces[1::2], strict=True):
        content = str(case.messages[span.message].get("content") or "").strip()
        whole = case.opened(span) + said
        if content not in whole and student.as_read(content).strip() not in whole:
            yield case.fault(Kind.MASK, f"the turn leaves out what was said: {content[:60]!r}", span)
        if any(inside != span.train for inside in found.mask[span.first : span.stop]):
            yield case.fault(Kind.MASK, "the mask does not follow the turn's `train`", span)
        if not case.ends(span):
            yield case.fault(Kind.MASK, "the turn does not end with the mark that ends turns", span)
    yield from _lost(case)
    yield from _made(case)


def altered(case: Case) -> str:
    """What the tokenizer makes of the first place of the row that it changes; empty if it changes nothing."""
    text, read = case.rendered.text, "".join(case.pieces)
    if text == read:
        return ""
    place = max(_first_difference(text, read) - 1, 0)
    return f"{text[place : place + 12]!a} is read as {read[place : place + 12]!a}"


def _lost(case: Case) -> Iterator[Fault]:
    """Letters that the tokens do not give back, in whatever form."""
    text, read = case.rendered.text, "".join(case.pieces)
    if text == read:
        return
    wanted, found = (_letters(case.student, side) for side in (text, read))
    if wanted != found:
        place = _first_difference(wanted, found)
        yield case.fault(
            Kind.TEXT_LOST,
            f"the tokenizer has no tokens for {wanted[place : place + 12]!a} and reads "
            f"{found[place : place + 12]!a}: leave the row out, or take another student",
        )


def _made(case: Case) -> Iterator[Fault]:
    """Marks that stand in no text, and that the tokenizer reads all the same."""
    for mark in case.student.marks:
        number = case.student.tokenizer.token_to_id(mark)
        if number is not None and case.rendered.ids.count(number) > case.rendered.text.count(mark):
            yield case.fault(
                Kind.INJECTED_MARK, f"the tokenizer makes {mark!r} of another text: leave it out"
            )


def _letters(student: Student, text: str) -> str:
    """What is left of a text after the tokenizer's normaliser, white space aside."""
    normalizer = student.tokenizer.normalizer
    normal = normalizer.normalize_str(text) if normalizer else text
    return "".join(normal.replace("\u2581", " ").split())


def _others(case: Case) -> list[str]:
    """What everybody but the assistant says, between its turns, with the template's own words."""
    template, frame, turns = case.student.template, case.student.frame, case.rendered.turns
    given, tools = template_messages(case.row, template), template_tools(case.row)
    if case.setting.format == "raw" and not template.turn_by_turn:
        # What it writes of a tool may hang on the call: the turns stay, and the prompt of each is looked at.
        if template.generates:
            return _around_blocks(case, given)
        ends = [0, *(turn.end for turn in turns)]
        shown = [template.render(given[: turn.message], tools, prompt=True) for turn in turns]
        return [
            *(prompt[end:] for prompt, end in zip(shown, ends, strict=False)),
            case.rendered.text[ends[-1] :],
        ]
    word = _WORD
    while word in case.rendered.text:
        word += _WORD[-1]
    short = [
        {"role": "assistant", "content": word} if message["role"] == "assistant" else message
        for message in given
    ]
    text, spans = template.generated(short, tools)
    if template.generates:
        spans = joined(spans) if len(spans) > len(turns) else spans
        edges = [0, *(edge for span in spans for edge in span), len(text)]
        return [text[a:b] for a, b in list(pairwise(edges))[::2]]
    found, place = [], 0
    for number in range(text.count(word)):
        at = text.find(word, place)
        turn = turns[min(number, len(turns) - 1)]
        # What a template puts between its prompt and the first word is the assistant's to say.
        if any(header and case.rendered.text.endswith(header, 0, turn.start) for header in frame[:2]):
            header = max(text.rfind(frame.opening, place, at) + len(frame.opening), place)
            found.append(text[place:header] + case.opened(turn))
        else:
            found.append(text[place : len(template.render(short[: turn.message], tools, prompt=True))])
        place = at + len(word)
        place += len(frame.closing) if text.startswith(frame.closing, place) else 0
    return [*found, text[place:]]


def _around_blocks(case: Case, given: Sequence[Row]) -> list[str]:
    """What stands outside of the parts that a template marks itself, where each is held to begin behind the
    conversation up to its turn, and to end in that up to the next."""
    template, tools, text = case.student.template, template_tools(case.row), case.rendered.text
    found, place = [], 0
    for turn in case.rendered.turns:
        before, through = (given[: turn.message + more] for more in (0, 1))
        begin = max(turn.start, shared(template.render(before, tools), text))
        found.append(text[place:begin])
        place = min(turn.end, shared(template.render(through, tools), text))
    return [*found, text[place:]]


def _first_difference(some: str, others: str) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(some), len(others)))


def _difference(decoded: str, expected: str) -> str:
    place = _first_difference(decoded, expected)
    return (
        f"what is outside the loss is not what others said: {decoded[place : place + 40]!r} where "
        f"{expected[place : place + 40]!r} is due"
    )
