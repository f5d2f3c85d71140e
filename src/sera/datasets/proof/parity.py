"""What a server shows the student at each of its turns is what the training row has up to there.

The row is played as it would be served: what the assistant said in a turn is read by the server's parsers
and comes back from the client as a message; all messages so far go through the template, which asks for
the next turn. The result must be the beginning of the training text, and of its tokens.

With structured rows the client sends calls and reasoning apart, and the server hands arguments to the
template as `Template.call` does. With text rows the client's side writes them into the text by the format,
as sera does.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.render import Span, template_messages, template_tools
from sera.datasets.rendering.template import OTHER
from sera.formats import find_format
from sera.formats.servers import read_turn


def served_as_trained(case: Case) -> Iterator[Fault]:
    yield from _same_texts(case)
    yield from _same_tokens(case)


def _same_texts(case: Case) -> Iterator[Fault]:
    """Stops at the first difference: all later turns have it too."""
    history, tools = _served(case), template_tools(case.row)
    text, template = case.rendered.text, case.student.template
    turns = list(case.rendered.turns)
    if template.turn_by_turn and template.render(history, tools) == text:
        # Such a template writes the beginning of a conversation as it writes it within the whole.
        turns = turns[-1:]
    for span in turns:
        shown = template.render(history[: span.message], tools, prompt=True)
        if not _begins_with(case, span, shown):
            yield _difference(case, span, shown)
            return


def _begins_with(case: Case, span: Span, shown: str) -> bool:
    """Whether the student goes on from what it is shown. A turn that the template marks itself may hold what
    its prompt says too, as `<think>`."""
    text = case.rendered.text
    if case.student.template.generates:
        return text.startswith(shown) and span.start <= len(shown) <= span.end
    return shown == text[: span.start]


def _same_tokens(case: Case) -> Iterator[Fault]:
    """A prompt is tokenised alone when serving: no token may reach from it into the turn."""
    student, found, end, stop = case.student, case.rendered, 0, 0
    header = student.frame.prompt
    for span in found.turns:
        alone = student.encode([header])[0]
        if student.template.generates or found.ids[max(span.first - len(alone), 0) : span.first] != alone:
            # Its first token may be one with what stands before it: all since the last turn is looked at.
            place = found.text.find(header, end, span.end) if student.template.generates and header else -1
            shown = found.text[end : place + len(header) if place >= 0 else span.start]
            alone = student.encode([shown])[0]
            if found.ids[stop : stop + len(alone)] != alone:
                yield case.fault(
                    Kind.PARITY,
                    "a token reaches from the prompt into the turn, which no server can show: begin the turn "
                    "without white space",
                    span,
                )
        end, stop = span.end, span.stop


def _served(case: Case) -> list[dict[str, Any]]:
    """The messages as the server gets them back."""
    return [
        _returned(case, message) if message["role"] == "assistant" else message
        for message in template_messages(case.row, case.student.template)
    ]


def _returned(case: Case, message: dict[str, Any]) -> dict[str, Any]:
    if case.setting.format == "raw":
        said: dict[str, Any] = {
            key: str(message[key]).strip() for key in ("content", "reasoning_content") if key in message
        }
        calls = message.get("tool_calls")
        return {"role": "assistant", **said, **({"tool_calls": calls} if calls else {})}
    read = read_turn(str(message["content"]), case.parsers["vLLM"], case.tools)
    turn = find_format(case.setting.format).render([read], case.tools)[0]
    return {"role": turn.role, "content": turn.text}


def _difference(case: Case, span: Span, shown: str) -> Fault:
    trained = case.rendered.ids
    served = case.student.encode([shown])[0]
    place = _first_difference(served, trained)
    there, here = (case.student.decode(ids[max(place - 4, 0) : place + 8]) for ids in (served, trained))
    if case.student.template.generates and case.rendered.text.startswith(shown):
        left = case.rendered.text[len(shown) : span.start]
        message = (
            f"the template {case.student.template.name} does not mark {left[:40]!r} as generated, which the "
            f"student has to say itself. {OTHER}"
        )
        return case.fault(Kind.PARITY, message, span)
    message = (
        f"at token {place} the server shows {there!r} where the row has {here!r}. "
        f"{_cure(case, shown, case.rendered.text[: span.start])}"
    )
    return case.fault(Kind.PARITY, message, span, place=min(place, len(trained) - 1))


def _first_difference(some: Sequence[int], others: Sequence[int]) -> int:
    pairs = zip(some, others, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(some), len(others)))


def _cure(case: Case, shown: str, trained: str) -> str:
    if shown.count("<think>") != trained.count("<think>"):
        return (
            f"The template {case.student.template.name} strips earlier reasoning in one of the two: train "
            f"and serve with the template chatml (or one that keeps it), or build with --think drop"
        )
    return "Build the dataset again, and train and serve with one template"
