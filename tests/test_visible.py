"""Text of strangers in Markdown, YAML and on one line, held against readers of both."""

import html
import random
import re

import pytest
from markdown_it import MarkdownIt

from sera.visible import markdown, markdown_code, one_line, visible, yaml

PIECES = [
    *"<>&\"'`*_[](){}#|~^$@!:;=+-.\\/0123456789 \n\t\r\x1b\x07\u202e\u200b",
    "a", "Z", "é", "日", "__init__", "***", "```", "~~", "[x](javascript:1)", "![x](http://h/i.png)", "<script>",
    "<!--", "-->", "</td>", "&lt;", "&#60;", "http://h.example/x", "www.h.example", "me@h.example", "@team", "$x$", "$$",
    "\n---\n", "\n# h", "\n===", "1. ", "- ", "| a | b |", "\n\n", "    code", "<https://h.example>", ":smile:", "{{ x }}",
]  # fmt: skip
PLACES = (
    "x {} y",
    "{}",
    "# {}",
    "a\n{}\nb",
    "- {}",
    "> {}",
    "| h |\n|---|\n| {} |",
    "| h | i |\n|---|---|\n| {0} | {0} |",
)


def texts() -> list[str]:
    dice = random.Random(7)
    return [*PIECES, *("".join(dice.choices(PIECES, k=dice.randint(2, 9))) for _ in range(600))]


def test_nothing_in_it_is_markup() -> None:
    """Rendered by a reader of Markdown, with tables, strike-through and HTML, wherever it stands."""
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render
    for place in PLACES:
        empty = rendered(place.format("x"))
        for text in texts():
            for made in (markdown(text), markdown_code(text)):
                said = one_line(text).strip()
                page = rendered(place.format(made))
                if said:
                    assert re.findall(
                        r"</?\w+", page.replace("<code>", "").replace("</code>", "")
                    ) == re.findall(r"</?\w+", empty), (place, text, page)
                plain = html.unescape(re.sub(r"<[^>]*>", " ", page))
                assert " ".join(said.split()) in " ".join(plain.split()), (place, text, page)


@pytest.mark.parametrize(
    "text", ["http://h.example/x", "https://h.example", "www.h.example", "me@h.example", "@team", "$x$", ":tada:", "{{ x }}", "<b"]
)  # fmt: skip
def test_nothing_is_made_a_link_a_formula_or_a_mention(text: str) -> None:
    """Which readers beyond the standard make of plain signs: those are not there."""
    made = markdown(f"see {text} there")
    assert not re.search(r"://|www\.|[@$<{}]|:\w+:", made)
    assert html.unescape(made) == f"see {text} there"


@pytest.mark.parametrize(
    "text", ["shop", "my-project 1.2", "snake_case", "docs/a.py:f", "Qwen/Qwen3-8B", "é 日本", "a, b (c)"]
)
def test_ordinary_names_stay_as_they_are(text: str) -> None:
    assert markdown(text) == text


def test_values_of_yaml() -> None:
    reader = pytest.importorskip("yaml")
    for text in texts():
        assert reader.safe_load(f"key: {yaml(text)}\nother: 1") == {"key": one_line(text), "other": 1}, text


def test_one_line() -> None:
    assert one_line("a\nb\tc\rd\x1b[2J\u2028e") == "a␊b␉c␍d␛[2J⟨U+2028⟩e"
    assert visible("a\nb") == "a\nb"


def test_what_nobody_sees_is_shown() -> None:
    """Text may hide in it, a byte to a character; what writing needs stays."""
    for code in (0x34F, 0x1160, 0x180C, 0x2800, 0x3164, 0xFE05, 0xFFA0, 0x1D175, 0xE0041, 0xE0100, 0xE01EF):
        assert visible(f"a{chr(code)}b") == f"a⟨U+{code:04X}⟩b"
    for text in ("می‌خواهم", "👩‍👩‍👧 ❤️ ☎︎", "é ё 日本"):
        assert visible(text) == text
