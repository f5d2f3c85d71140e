"""Every call in the loss is read by every server as the call that was recorded, once and whole.

What was recorded is in the row where calls are structured. Where they are text, it is what all servers
agree on, and that there is one is known from the tool's answer which follows.

A student's own template may spell structured calls in a way whose parsers are not modelled here. Of such a
turn it is shown that the name and every value of the call stand in it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.render import Span
from sera.formats.servers import (
    CLOSE,
    HERMES,
    OPEN,
    XML,
    Call,
    CannotRead,
    Parser,
    nulls,
    same_calls,
    schemas_of,
    split_turn,
    undefined,
)
from sera.formats.servers.schema import UNDEFINED_TOOL

_BODY = re.compile(f"{OPEN}(.*?)(?:{CLOSE}|\\Z)", re.DOTALL)


def calls_read_back(case: Case) -> Iterator[Fault]:
    for span, said in case.trained:
        yield from _first(_turn(case, span, split_turn(said)[1]))


def _first(faults: Iterator[Fault]) -> Iterator[Fault]:
    """One fault a turn: the others are its consequences."""
    if fault := next(faults, None):
        yield fault


def _turn(case: Case, span: Span, spoken: str) -> Iterator[Fault]:
    recorded = _recorded(case, span)
    for call in recorded or ():
        yield from _sound(case, span, call)
    parsers = _parsers(case, spoken)
    if parsers is None:
        for call in recorded or ():
            yield from _written(case, span, spoken, call)
            yield from _defined(case, span, call)
        if recorded is None and _answered(case, span):
            yield _lost(case, span, "and the text has no call")
        return
    yield from _shape(case, span, spoken)
    read: list[Call] | None = None
    for server, parse in parsers.items():
        try:
            calls = parse(spoken, case.tools)
        except CannotRead as problem:
            yield case.fault(Kind.CALL_UNREADABLE, f"{server} cannot read the call: {problem}", span)
            return
        if read is None:
            for call in calls:
                yield from _sound(case, span, call)
        wanted = recorded if recorded is not None else read
        if wanted is not None and not same_calls(calls, wanted):
            yield case.fault(
                Kind.CALL_DIFFERS, f"{server} reads {_brief(calls)}, recorded is {_brief(wanted)}", span
            )
        read = calls
    if len({json.dumps(call) for call in read or ()}) < len(read or ()):
        yield case.fault(Kind.CALL_TWICE, f"the same call stands twice in one turn: {_brief(read)}", span)
    for call in read or ():
        yield from _defined(case, span, call)


def _parsers(case: Case, spoken: str) -> Mapping[str, Parser] | None:
    """How servers read the calls of this turn; None if it has none, or spells them as no parser here does."""
    if OPEN not in spoken:
        return None
    if case.setting.format != "raw":
        return case.parsers
    body = spoken.partition(OPEN)[2].lstrip()
    if body.startswith("<function="):
        return XML
    return HERMES if body.startswith(("{", OPEN)) or not body else None


def _written(case: Case, span: Span, spoken: str, call: Call) -> Iterator[Fault]:
    """Whether name and values stand in the turn, as they are or as JSON has them."""
    name, arguments = call
    for value in (name, *_values(arguments)):
        spelt = json.dumps(value, ensure_ascii=False).removeprefix('"').removesuffix('"')
        if spelt not in spoken and str(value).strip() not in spoken:
            yield _lost(case, span, f"and {spelt[:60]!r} of it is not in the text")


def _values(arguments: Any) -> Iterator[Any]:
    """The texts, numbers and truths within arguments."""
    if isinstance(arguments, dict):
        for value in arguments.values():
            yield from _values(value)
    elif isinstance(arguments, list):
        for value in arguments:
            yield from _values(value)
    else:
        yield arguments


def _lost(case: Case, span: Span, what: str) -> Fault:
    return case.fault(
        Kind.CALL_LOST,
        f"a tool was called here, {what}: the converter or the template {case.student.template.name} has "
        f"dropped it. Use a text format, or the template chatml",
        span,
    )


def _shape(case: Case, span: Span, spoken: str) -> Iterator[Fault]:
    """What can be seen before the call is read."""
    bodies = [body.strip() for body in _BODY.findall(spoken)]
    if any(body.startswith(OPEN) for body in bodies):
        yield case.fault(Kind.CALL_NESTED, "a call begins within a call", span)
    elif not all(bodies):
        yield case.fault(Kind.CALL_EMPTY, "a call is empty", span)


def _sound(case: Case, span: Span, call: Call) -> Iterator[Fault]:
    name, arguments = call
    if not name:
        yield case.fault(Kind.CALL_EMPTY, "a call has no name", span)
    if isinstance(arguments, str) or _is_call(arguments):
        yield case.fault(
            Kind.CALL_NESTED,
            f"the arguments of {name} are {'a text' if isinstance(arguments, str) else 'a call'} that holds "
            f"them: they were written as JSON twice",
            span,
        )
    elif isinstance(arguments, dict) and (extra := nulls(call, case.tools)):
        yield case.fault(
            Kind.NULL_ARGUMENT,
            f"{name} is called with {', '.join(extra)} = null, which its definition does not allow: a "
            f"table library has given each call the parameters of all others; read the rows as JSON",
            span,
        )


def _defined(case: Case, span: Span, call: Call) -> Iterator[Fault]:
    named = f"<name>{call[0]}</name>" in str(case.messages[0].get("content"))  # xml is read back loosely
    if not named and UNDEFINED_TOOL in undefined(call, schemas_of(case.tools)):
        yield case.fault(
            Kind.CALL_UNDEFINED,
            f"{call[0]!r} is called, and no tool of that name is defined: SGLang drops such a call. Build "
            f"the dataset again, which leaves such turns out of the loss",
            span,
        )


def _is_call(arguments: Any) -> bool:
    return isinstance(arguments, dict) and arguments.keys() == {"name", "arguments"}


def _recorded(case: Case, span: Span) -> list[Call] | None:
    """The calls of a structured message; None where the format has them in its text."""
    if case.setting.format != "raw":
        return None
    return [_structured(call) for call in case.messages[span.message].get("tool_calls") or ()]


def _structured(call: dict[str, Any]) -> Call:
    function = call.get("function") or call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return function.get("name") or "", {"": arguments}
    return function.get("name") or "", arguments


def _answered(case: Case, span: Span) -> bool:
    """Whether a tool speaks next."""
    following = case.messages[span.message + 1 : span.message + 2]
    return any(
        message["role"] == "tool" or str(message.get("content")).startswith("<tool_response>")
        for message in following
    )


def _brief(calls: Any) -> str:
    return json.dumps(calls, ensure_ascii=False)[:160]
