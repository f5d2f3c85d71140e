"""Recognises a tool call that a server left as text, and names the option that makes it parse."""

import re
import tomllib
from importlib.resources import files

import msgspec

from sera.settings import Config


class _Text(Config, frozen=True):
    what: str
    pattern: str
    vllm: str = ""
    sglang: str = ""


def unparsed_call(content: str) -> tuple[str, str] | None:
    """(what it looks like, the cure) if `content` holds a tool call, None if it does not."""
    source = files("sera.teachers.checkup").joinpath("tool_texts.toml").read_text("utf-8")
    for known in msgspec.convert(tomllib.loads(source)["text"], list[_Text]):
        if re.search(known.pattern, content):
            return known.what, _cure(known)
    return None


def _cure(known: _Text) -> str:
    if not known.vllm:
        return (
            "no parser reads this reliably: launch with the parser made for the model, on llama.cpp with "
            "--jinja; if the text stays, the model does not keep to its own format: take another"
        )
    return (
        f"vLLM: --enable-auto-tool-choice --tool-call-parser {known.vllm}; "
        f"SGLang: --tool-call-parser {known.sglang}; llama.cpp: --jinja"
    )
