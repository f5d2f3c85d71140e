"""A chat template: a conversation as the text that the student sees.

One is shipped, `chatml`: the paper's, which writes role and text and keeps every turn as it was said, and
which knows structured calls too. Others are the student's own, read from its folder or from a file.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.errors import DatasetError, UsageError, boundary
from sera.untrusted import decode

CHATML = "chatml"
Row = Mapping[str, Any]
"""A message as a template gets it."""
_PROBE = "Sera7Probe"
_CALLED = {"sera7key": "sera7value"}
_DEFINED = {
    "name": _PROBE,
    "description": "A probe.",
    "parameters": {
        "type": "object",
        "properties": {"sera7key": {"type": "string", "description": "A key."}},
        "required": ["sera7key"],
    },
}


CURE = "give --template FILE with another, or take another --format"
"""The cure where a template does not fit the rows."""
OTHER = f"{CURE[0].upper()}{CURE[1:]}"
"""The same as a sentence without its full stop."""


class Generated(NamedTuple):
    """A rendering and, as character offsets, what the template itself marks as generated."""

    text: str
    spans: list[tuple[int, int]]


class Template:
    """One template. `name` is for people, `sha256` for the manifest."""

    def __init__(self, name: str, source: str, tokens: Mapping[str, str]) -> None:
        """`tokens` are those that templates refer to: `bos_token`, `eos_token` and the like. An empty one is
        undefined to the template, as in transformers.

        Raises `DatasetError` if the template cannot be compiled.
        """
        try:
            from sera.datasets.rendering.sandbox import TemplateEnvironment
        except ImportError as missing:
            raise UsageError('chat templates need a library: pip install "sera[dataset]"') from missing

        self.name = name
        self.source = source
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        self._tokens = {name: token for name, token in tokens.items() if token}
        self._environment = TemplateEnvironment()
        # What a hostile template can raise is as open as what it can say.
        with boundary(DatasetError, f"chat template {name} is not one ({CURE})", Exception):
            self._compiled = self._environment.from_string(source)

    @property
    def generates(self) -> bool:
        """Whether it marks what is generated itself, with `{% generation %}`."""
        return self._environment.generates

    @property
    def turn_by_turn(self) -> bool:
        """Whether a turn is known to be written without regard to the turns after it."""
        return self.source == _shipped()

    def render(self, messages: Sequence[Row], tools: Sequence[Any] = (), prompt: bool = False) -> str:
        """The conversation as text; with `prompt` up to where the assistant is to go on.

        Raises `DatasetError` if the template refuses the conversation or breaks.
        """
        return self._render(messages, tools, prompt).text

    def generated(self, messages: Sequence[Row], tools: Sequence[Any] = ()) -> Generated:
        """The conversation, and what stands in the template's `{% generation %}` blocks."""
        return self._render(messages, tools, prompt=False)

    def call(self, call: dict[str, Any]) -> dict[str, Any]:
        """A call of a message with its arguments as this template takes them; as they are if unreadable."""
        function = call.get("function") or call
        arguments: Any = function.get("arguments")
        if isinstance(arguments, str) != self.takes_objects:
            return call
        with suppress(msgspec.DecodeError):
            known = (
                decode(arguments, dict[str, Any])
                if self.takes_objects
                else json.dumps(arguments, ensure_ascii=False)
            )
            function = {**function, "arguments": known}
            return {**call, "function": function} if "function" in call else function
        return call

    @cached_property
    def takes_objects(self) -> bool:
        """Whether arguments of calls are handed over as objects, as vLLM and SGLang do, found by rendering a
        call in both ways. Only a template that can do nothing but put them between other texts gets text."""
        objects, text = self._probed(_CALLED), self._probed(json.dumps(_CALLED))
        written = all(word in objects for pair in _CALLED.items() for word in pair)
        return (written and repr("sera7key") not in objects) or json.dumps(_CALLED) not in text

    @cached_property
    def called(self) -> str:
        """A conversation with a call and its answer, as it is written; empty if the template refuses it."""
        return self._probed(_CALLED if self.takes_objects else json.dumps(_CALLED))

    @cached_property
    def wants_short_ids(self) -> bool:
        """Whether the ids of calls must be nine letters and digits, as Mistral's templates ask."""
        arguments = _CALLED if self.takes_objects else json.dumps(_CALLED)
        return bool(self.called) and not self._probed(arguments, "call_0")

    def _probed(self, arguments: object, identity: str = "sera7call") -> str:
        """A conversation with one call; empty if the template refuses it."""
        function = {"name": _PROBE, "arguments": arguments}
        messages: list[Row] = [
            {"role": "user", "content": "?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": identity, "type": "function", "function": function}],
            },
            {"role": "tool", "name": _PROBE, "content": ".", "tool_call_id": identity},
            {"role": "assistant", "content": "."},
        ]
        try:
            return self.render(messages, [{"type": "function", "function": _DEFINED}])
        except DatasetError:
            return ""

    def _render(self, messages: Sequence[Row], tools: Sequence[Any], prompt: bool) -> Generated:
        what = f"chat template {self.name} does not take the conversation ({CURE})"
        with boundary(DatasetError, what, Exception):
            around = self._around(messages) if self.generates else ("", "")
            text = self._environment.render(
                self._compiled,
                around,
                messages=[_with_thinking(message) for message in messages],
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=prompt,
                **self._tokens,
            )
            return _parted(text, *around)

    def _around(self, messages: Sequence[Row]) -> tuple[str, str]:
        """Marks for what is generated. They are made of the conversation, so that none can hold its own."""
        said = json.dumps([self.sha256, messages], default=str).encode()
        digest = hashlib.blake2b(said, digest_size=16).hexdigest()
        return f"\ufdd0{digest}", f"\ufdd1{digest}"


def _with_thinking(message: Row) -> Row:
    """Reasoning under each name that templates read it by, as transformers 5 hands it over."""
    found = (message[key] for key in ("reasoning_content", "thinking", "reasoning") if message.get(key))
    reasoning = next(found, None)
    return (
        message if reasoning is None else {"thinking": reasoning, **message, "reasoning_content": reasoning}
    )


def _parted(text: str, begin: str, end: str) -> Generated:
    """A rendering without the marks around what is generated, and where they were."""
    if not begin:
        return Generated(text, [])
    pieces = re.split(f"({begin}|{end})", text)
    spans, start, size = [], 0, 0
    for piece in pieces:
        if piece == begin:
            start = size
        elif piece == end:
            spans.append((start, size))
        else:
            size += len(piece)
    return Generated("".join(piece for piece in pieces if piece not in (begin, end)), spans)


def load_template(name: str, tokens: Mapping[str, str]) -> Template:
    """`chatml`, or the path of a `.jinja` file, of a `tokenizer_config.json`, or of a folder with one."""
    if name == CHATML:
        return Template(CHATML, _shipped(), tokens)
    return Template(Path(name).name, read_source(Path(name)), tokens)


def read_source(path: Path) -> str:
    """The template in a file, or in a folder as models have it: beside its tokenizer, or in its settings. Of
    several the one for tools, which is what transformers takes when it has tools.

    Raises `UsageError` that says what was looked for.
    """
    found = [path]
    if path.is_dir():
        names = "additional_chat_templates/tool_use.jinja", "chat_template.jinja", "chat_template.json"
        found = [path / name for name in names if (path / name).is_file()] or [path / "tokenizer_config.json"]
    path = found[0]
    with boundary(UsageError, f"chat template {path}", OSError, ValueError, msgspec.DecodeError):
        if path.exists() and not path.is_file():
            raise UsageError(f"chat template {path} is no file")
        text = path.read_text("utf-8")
        if path.suffix != ".json":
            return text
        return _named(msgspec.json.decode(text, type=_TokenizerConfig).chat_template, path)


class _Named(msgspec.Struct, frozen=True):
    name: str
    template: str


class _TokenizerConfig(msgspec.Struct, frozen=True):
    chat_template: str | list[_Named] | dict[str, str] | None = None


def _named(found: str | list[_Named] | dict[str, str] | None, path: Path) -> str:
    if isinstance(found, str):
        return found
    by_name = found if isinstance(found, dict) else {one.name: one.template for one in found or ()}
    source = by_name.get("tool_use") or by_name.get("default")
    if source is None:
        raise UsageError(f"{path} holds no chat template: give --template FILE, or --template {CHATML}")
    return source


@cache
def _shipped() -> str:
    return (files("sera.datasets.rendering") / "templates" / "chatml.jinja").read_text("utf-8")
