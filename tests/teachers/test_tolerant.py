"""Tool calls in plain text: what is overlooked, what it is called, and what is no call."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.records import Message, ToolCall
from sera.teachers.tolerant import find_calls, plain_beginning, read_text, with_calls

TOOLS = [
    {
        "type": "function",
        "function": {"name": "bash", "parameters": {"properties": {"command": {"type": "string"}}}},
    },
    {
        "type": "function",
        "function": {
            "name": "edit",
            "parameters": {"properties": {"path": {"type": "string"}, "range": {"type": "array"}}},
        },
    },
]
CALL = '{"name": "bash", "arguments": {"command": "ls -l"}}'
ONE = ("bash", {"command": "ls -l"})


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", set()),
        (f"Let me look.\n<tool_call>{CALL}</tool_call>", set()),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls -l\n</parameter>\n</function>\n</tool_call>", set()),
        ("<function=bash>\n<parameter=command>ls -l</parameter>\n</function>", set()),
        (f"<tool_call>\n{CALL}", {"unclosed"}),
        (f"<tool_call>\n{CALL}\n</tool_calls>", {"mistagged"}),
        (f"<tools>\n{CALL}\n</tools>", {"mistagged"}),
        (f"<tools>\n{CALL}", {"mistagged", "unclosed"}),
        ("<function=bash>\n<parameter=command>\nls -l\n", {"unclosed"}),
        (f"<tool_call>{CALL[:-1]}</tool_call>", {"unfinished"}),
        (f"<tool_call>{CALL[:-2]}", {"unclosed", "unfinished"}),
        (f"<tool_call>{CALL} and then I look</tool_call>", {"followed"}),
        (f"<tool_call>{CALL}}}</tool_call>", {"surplus"}),
        (f"<tool_call>{{{CALL}}}</tool_call>", {"surplus"}),
        (f"<tool_call><tool_call>{CALL}</tool_call></tool_call>", {"nested"}),
        (f'<tool_call>{{"name": "bash", "arguments": {CALL}}}</tool_call>', {"nested"}),
        (f'<tool_call>{{"function": {CALL}}}</tool_call>', {"nested"}),
        ('<tool_call>{"name": "bash", "arguments": "{\\"command\\": \\"ls -l\\"}"}</tool_call>', {"quoted"}),
        ('<tool_call>{"name": "bash", "parameters": {"command": "ls -l"}}</tool_call>', {"renamed"}),
        ('<tool_call>{"tool": "bash", "args": {"command": "ls -l"}}</tool_call>', {"renamed"}),
        (f"I run:\n```json\n{CALL}\n```\nand wait.", {"fenced"}),
        (f"```\n{CALL}\n```", {"fenced"}),
        (f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>", {"fenced"}),
        (CALL, {"bare"}),
        (f"I run this:\n{CALL}", {"bare"}),
        (f"I run this:\n{CALL}\n```", {"bare", "surplus"}),
        (f"{{{CALL}}}", {"bare", "surplus"}),
        (f"{CALL}\n\n**Note:** this only looks.", {"bare", "followed"}),
        (f"{CALL}\n<tool_response>\nbench.py\n</tool_response>", {"bare", "followed"}),
    ],
)  # fmt: skip
def test_what_is_overlooked(text: str, repair: set[str]) -> None:
    _, [found] = find_calls(text, TOOLS)
    assert (found.name, found.arguments) == ONE
    assert found.repair == repair


@pytest.mark.parametrize(
    "text",
    [
        "Nothing to call here.",
        '<tool_call>{"name": "bash", "arguments": {"command": "rm -r',
        '{"name": "bash", "arguments": {"command": "rm -r',
        '```json\n{"name": "unknown", "arguments": {}}\n```',
        '{"name": "package", "arguments": {"version": 1}}',
        f"Write it as {CALL} please.",
        f"Write it as\n{CALL}\nplease.",
        f"<tools>\n{json.dumps(TOOLS[0])}\n{json.dumps(TOOLS[1])}\n</tools>",
        json.dumps(TOOLS[0]["function"]),
        "```python\nprint({'name': 'bash'})\n```",
        '{"name": "unknown"}',
        "<tool_call></tool_call>",
        "",
        "<tool_call>" + '{"name":' * 100_000,
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_call(text: str) -> None:
    assert find_calls(text, TOOLS) == (text, [])


@pytest.mark.parametrize("text", ['{"name": "bash"}', '<tool_call>{"name": "bash"}</tool_call>'])
def test_a_name_alone_is_a_call_without_arguments(text: str) -> None:
    _, [found] = find_calls(text, TOOLS)
    assert (found.name, found.arguments) == ("bash", {})
    assert "empty" in found.repair


def test_several_calls_and_the_text_before_them() -> None:
    other = '{"name": "bash", "arguments": {"command": "pwd"}}'
    content, found = find_calls(f"Two.\n<tool_call>{CALL}</tool_call>\n<tool_call>{other}</tool_call>", TOOLS)
    assert content == "Two."
    assert [one.arguments["command"] for one in found] == ["ls -l", "pwd"]


def test_several_calls_in_one_tag() -> None:
    other = '{"name": "bash", "arguments": {"command": "pwd"}}'
    _, found = find_calls(f"<tools>\n{CALL}\n{other}\n</tools>", TOOLS)
    assert [one.arguments["command"] for one in found] == ["ls -l", "pwd"]


def test_line_breaks_in_a_string() -> None:
    _, [found] = find_calls('Now:\n{"name": "bash", "arguments": {"command": "cd x\nls"}}', TOOLS)
    assert (found.arguments, found.repair) == ({"command": "cd x\nls"}, {"bare", "loose"})


def test_parameters_have_the_type_of_their_schema() -> None:
    text = "<function=edit>\n<parameter=path>\n5\n</parameter>\n<parameter=range>\n[1, -1]\n</parameter>\n</function>"
    _, [found] = find_calls(text, TOOLS)
    assert found.arguments == {"path": "5", "range": [1, -1]}


def test_closing_tag_within_a_string() -> None:
    call = json.dumps({"name": "bash", "arguments": {"command": "grep '</tool_call>' x"}})
    _, [found] = find_calls(f"<tool_call>{call}</tool_call>", TOOLS)
    assert found.arguments == {"command": "grep '</tool_call>' x"}


def test_a_text_becomes_a_message() -> None:
    message = read_text(
        f"<think>\nFirst look.\n</think>\n\nI look.\n<tool_call>{CALL[:-1]}</tool_call>", TOOLS
    )
    assert (message.reasoning, message.content) == ("First look.", "I look.")
    assert message.tool_calls == (
        ToolCall(id="call_0", name="bash", arguments='{"command": "ls -l"}', repair="unfinished"),
    )


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "bash", "arguments": {"command": "echo \\ud83d"}}</tool_call>',
        '<tool_call>{"name": "bash", "arguments": {"\\ude00": ["\\ud83d"]}}</tool_call>',
        '<tool_call>{"name": "bash\\ud83d", "arguments": {}}</tool_call>',
        '<function=edit>\n<parameter=range>["\\ud83d"]</parameter>\n</function>',
    ],
)
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    """Such a message could be neither stored nor sent back."""
    message = read_text(text, TOOLS)
    assert "\ufffd" in message.tool_calls[0].arguments + message.tool_calls[0].name
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message


def test_a_whole_surrogate_pair_is_one_character() -> None:
    message = read_text(
        '<tool_call>{"name": "bash", "arguments": {"c": "\\ud83d\\ude00"}}</tool_call>', TOOLS
    )
    assert message.tool_calls[0].arguments == '{"c": "\U0001f600"}'


@pytest.mark.parametrize("before", ["", '"line": "\n", '])
def test_what_is_nested_too_deeply_is_no_call(before: str) -> None:
    deep = "[" * 5000 + "]" * 5000
    text = f'<tool_call>{{"name": "bash", "arguments": {{{before}"command": {deep}}}}}</tool_call>'
    assert find_calls(text, TOOLS) == (text, [])


def test_calls_that_the_server_found_are_left_alone() -> None:
    call = ToolCall(id="x", name="bash", arguments="{}")
    message = Message(role="assistant", content=CALL, tool_calls=(call,))
    assert with_calls(message, TOOLS) is message
    assert with_calls(Message(role="assistant", content=CALL), []).tool_calls == ()


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    find_calls(text, TOOLS)
    find_calls(f"<tool_call>{text}</tool_call>", TOOLS)


@given(st.dictionaries(st.text(max_size=8), st.text(), max_size=4))
def test_well_formed_calls_come_back_as_they_were(arguments: dict[str, str]) -> None:
    body = json.dumps({"name": "edit", "arguments": arguments}, ensure_ascii=False)
    _, [found] = find_calls(f"<tool_call>\n{body}\n</tool_call>", TOOLS)
    assert found.arguments == arguments


@pytest.mark.parametrize(
    ("pieces", "tools", "heard"),
    [
        (("one ", "two", " \n"), False, "one two"),
        (("  \n", "one"), False, "  \none"),
        (("<think>", "no"), False, ""),
        (("a < b", " and more"), False, "a"),
        (("use {x}",), False, "use {x}"),
        (("I look: ", '{"name": "bash"'), True, "I look:"),
        (("So:\n```", "json"), True, "So:"),
        (("one [", "two"), True, "one"),
    ],
)
def test_only_what_is_certainly_text_is_heard(pieces: tuple[str, ...], tools: bool, heard: str) -> None:
    said: list[str] = []
    hear = plain_beginning(said.append, TOOLS if tools else [])
    for piece in pieces:
        hear(piece)
    assert "".join(said) == heard
