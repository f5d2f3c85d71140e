"""Jinja for chat templates that nobody vouches for, with what the templates of models need.

A template comes with a model from the internet. It reaches nothing but the conversation (jinja2's
sandbox, immutable), and it ends: the loops and calls of one rendering are counted, and no text grows
beyond a bound. So rendering is a function of its input alone. A template that asks for the date is rendered
on two days, and refused if they differ, because what it says would differ between training and serving.

Not for threads: one environment renders one conversation at a time.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 256 * 1024
"""Longest template, in characters."""
_MAX_STEPS = 300_000
"""Rounds of loops and calls in one rendering."""
_MAX_TEXT = 64 * 1024 * 1024
"""Longest text in characters."""
_LEAST_TEXT, _TIMES = 1_000_000, 16
"""What is written of a conversation has at most so many characters, and so many times its own."""
_DAYS = datetime(2003, 2, 1, 4, 5, 6), datetime(2031, 12, 28, 19, 47, 58)
"""Differ in all that can be said of a day."""
_DATE = re.compile(r"(?:[^%]|%-?[A-Za-z%]){0,200}")
"""A width, which the C library allows too, could ask for gigabytes."""
_WIDENING = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "translate", "encode"}
)
"""Methods of texts that can make much of little, and that no chat template needs."""
_WIDENING_FILTERS = (
    "center",
    "format",
    "indent",
    "wordwrap",
    "pprint",
    "urlize",
    "xmlattr",
    "filesizeformat",
)


class _Generation(Extension):
    """`{% generation %}`: what the assistant says, marked for the loss."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own way to say it

    def parse(self, parser: Parser) -> nodes.Node:
        self.environment.generates = True  # type: ignore[attr-defined]
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        begin, end = self.environment.around  # type: ignore[attr-defined]
        return f"{begin}{caller()}{end}"


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and renders chat templates as transformers does, within bounds."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
            finalize=_printable,
        )
        self.generates = False
        """Whether a template that was compiled here has generation blocks."""
        self.around = "", ""
        """What stands around such a block in the rendering under way."""
        self._steps = 0
        self._room = _MAX_TEXT
        self.filters |= {"tojson": _to_json, "string": _string, "replace": _replace, "join": _join}
        self.filters["counted"] = self._counted
        for name in _WIDENING_FILTERS:
            del self.filters[name]
        self.globals = {
            "range": self._range,
            "namespace": self.globals["namespace"],
            "dict": dict,
            "raise_exception": _refuse,
            "strftime_now": self._date,
        }
        self._day, self._asked = _DAYS[0], False

    def render(self, compiled: Any, around: tuple[str, str], **variables: Any) -> str:
        """One rendering, with counters of its own, and `around` each generation block."""
        self.around = around
        given = [variables.get("messages"), variables.get("tools")]
        self._room = min(_LEAST_TEXT + _TIMES * len(json.dumps(given, default=str)), _MAX_TEXT)
        self._day, self._asked = _DAYS[0], False
        text = self._render(compiled, variables)
        self._day = _DAYS[1]
        if self._asked and self._render(compiled, variables) != text:
            raise TemplateError(
                "the template writes the date, so what it says would change between training and serving: "
                "give a copy of it with a fixed text in place of strftime_now, and serve with that"
            )
        return text

    def _render(self, compiled: Any, variables: dict[str, Any]) -> str:
        self._steps = 0
        parts: list[str] = []
        size = 0
        for part in compiled.generate(**variables):
            size += len(part)
            _bound(size, self._room)
            parts.append(part)
        return "".join(parts)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Every loop of the template counts its rounds."""
        if len(source) > MAX_SOURCE:
            raise TemplateError(f"the template has {len(source):,} characters, more than {MAX_SOURCE:,}")
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None).set_lineno(loop.lineno)
        for joined in list(tree.find_all(nodes.Concat)):
            joined.nodes = [_as_sum(joined.nodes)]
        tree.set_environment(self)
        return tree

    def _counted(self, items: Iterable[Any]) -> Iterable[Any]:
        """The items, each counted once; a list stays one, since templates ask for its length."""
        if not isinstance(items, list | tuple | str | dict):
            return self._one_by_one(items)
        self._step(len(items))
        return items

    def _one_by_one(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item

    def _step(self, number: int = 1) -> None:
        self._steps += number
        if self._steps > _MAX_STEPS:
            raise SecurityError(f"the template takes more than {_MAX_STEPS:,} steps")

    def _date(self, pattern: str) -> str:
        """The same day in all of a rendering, and another one in the next."""
        if not _DATE.fullmatch(pattern):
            raise TemplateError(f"the template asks for a date in a form that is not known: {pattern[:40]!r}")
        self._asked = True
        return self._day.strftime(pattern)

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._step(len(numbers))
        return numbers

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._step()
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(owner, str) and name == "replace":
            return _replace(owner, *args, **kwargs)
        if isinstance(owner, str) and name == "join":
            return _join(args[0], owner)
        return _checked(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        texts = isinstance(left, str | list | tuple), isinstance(right, str | list | tuple)
        if operator == "*" and any(texts):
            _bound((len(left) if texts[0] else left) * (len(right) if texts[1] else right))
        if operator == "**" or (operator == "%" and texts[0]):
            raise SecurityError(f"the template uses {operator}, which no chat template needs")
        return _checked(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _WIDENING and super().is_safe_attribute(obj, attr, value)


def _as_sum(parts: list[nodes.Expr]) -> nodes.Expr:
    """`a ~ b` as a sum of texts, so that its length is looked at too."""
    total: nodes.Expr = _text(parts[0])
    for part in parts[1:]:
        total = nodes.Add(total, _text(part))
    return total


def _text(part: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(part, "string", [], [], None, None)


def _checked(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _bound(len(value))
    return value


def _bound(size: int, most: int = _MAX_TEXT) -> None:
    if size > most:
        raise SecurityError(f"the template writes more than {most:,} characters")


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text = str(text)
    _bound(len(text) + text.count(old) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _join(parts: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
    found = [_string(part[attribute] if attribute else part) for part in parts]
    _bound(sum(map(len, found)) + len(between) * len(found))
    return between.join(found)


def _printable(value: Any) -> Any:
    return _string(value) if isinstance(value, list | tuple | dict) else value


def _string(value: Any) -> str:
    """As text. Lists within lists are looked at first: a few of them can stand for gigabytes."""
    if isinstance(value, list | tuple | dict):
        _to_json(value)
    return str(value)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """As in transformers: nothing is escaped for HTML, letters stay letters."""
    allowed = {key: options[key] for key in ("separators", "sort_keys") if key in options}
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=min(indent or 0, 8) or None, **allowed)
    parts: list[str] = []
    size = 0
    for part in encoder.iterencode(value):
        size += len(part)
        _bound(size)
        parts.append(part)
        if len(parts) > _MAX_STEPS:
            raise SecurityError(f"the template writes a value of more than {_MAX_STEPS:,} parts")
    return "".join(parts)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(f"the template refuses the conversation: {message}")
