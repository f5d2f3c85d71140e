"""What is rendered says what was recorded: read back with a parser of the test's own."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_samples import TOOLS, call, talk

from sera.errors import ConfigError
from sera.formats import FORMATS, Turn, find_format
from sera.records import Message, ToolCall

TEXT = ("hermes", "xml")


def render(style: str, *messages: Message) -> list[Turn]:
    return FORMATS[style].render(messages, TOOLS)


def one(style: str, tool_call: ToolCall, content: str = "", reasoning: str = "") -> Turn:
    message = Message(role="assistant", content=content, reasoning=reasoning, tool_calls=(tool_call,))
    return render(style, message)[0]


def read_hermes(text: str) -> tuple[str, dict[str, Any]]:
    """The last call of a text, with the standard library only."""
    start = text.rindex('<tool_call>\n{"name": ') + len("<tool_call>\n")
    value, end = json.JSONDecoder().raw_decode(text[start:])
    assert text[start + end :] == "\n</tool_call>"
    return value["name"], value["arguments"]


def read_xml(text: str) -> tuple[str, dict[str, Any]]:
    _, _, body = text.partition("<tool_call>\n<function=")
    name, _, rest = body.partition(">\n")
    found = re.findall(r"<parameter=(\w+)>\n(.*?)\n</parameter>\n", rest, re.DOTALL)
    texts = {"command", "path", "file_text", "old_str", "new_str"}
    return name, {key: value if key in texts else json.loads(value) for key, value in found}


READ = {"hermes": read_hermes, "xml": read_xml}
AWKWARD = [
    '{"command": "printf \'a\\nb\\n\'"}',
    '{"command": "echo <tool_call>"}',
    '{"command": "naïve – 字 🙂"}',
    '{"command": "\\n\\n"}',
    '{"command": ""}',
    '{ "command" :"x" }',
    "{}",
]


@pytest.mark.parametrize("style", TEXT)
@pytest.mark.parametrize("arguments", AWKWARD)
def test_a_call_reads_back_as_recorded(style: str, arguments: str) -> None:
    turn = one(style, call(arguments=arguments), content="Now look:\n", reasoning="Think\n\nhard.")
    assert READ[style](turn.text) == ("bash", json.loads(arguments))
    assert turn.text.startswith("<think>\nThink\n\nhard.\n</think>\n\nNow look:\n<tool_call>\n")
    assert turn.train


said = st.text().filter(lambda text: text.lower() != "null")
"""Other than what a server of the xml style reads as no value."""
values = st.fixed_dictionaries(
    {"command": st.sampled_from(["view", "create"])},
    optional={
        "path": said,
        "file_text": said,
        "insert_line": st.integers(-9, 10**6),
        "view_range": st.lists(st.integers(-1, 999), min_size=2, max_size=2),
    },
)


@given(values, st.booleans(), st.sampled_from(TEXT))
def test_any_call_reads_back_as_recorded(arguments: dict[str, Any], ascii_only: bool, style: str) -> None:
    turn = one(style, call("str_replace_editor", json.dumps(arguments, ensure_ascii=ascii_only)))
    assert turn.train
    assert READ[style](turn.text) == ("str_replace_editor", arguments)


@pytest.mark.parametrize("style", FORMATS)
def test_key_order_and_letters_are_kept(style: str) -> None:
    turn = one(style, call("str_replace_editor", '{"path": "/é.py", "command": "view"}'))
    assert turn.text.index("/é.py") < turn.text.index("view")


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("arguments", ['{"command": ', "[1]", "ls", '"ls"', "null", '{"command": NaN}'])
def test_a_malformed_call_is_kept_but_not_trained(style: str, arguments: str) -> None:
    turn = one(style, call(arguments=arguments))
    assert arguments in turn.text
    assert not turn.train
    assert turn.row["train"] is False


def test_a_closing_tag_in_a_json_string_does_not_end_the_call() -> None:
    turn = one("hermes", call(arguments='{"command": "echo </tool_call>"}'))
    assert turn.text.count("</tool_call>") == 1
    assert read_hermes(turn.text) == ("bash", {"command": "echo </tool_call>"})
    assert turn.train


@pytest.mark.parametrize(
    "command",
    [
        "echo </tool_call>",
        "a\n</parameter>\nb",
        "x\n</tool_call>",
        "x <parameter=y>",
        "a </function>",
        "null",
        "NULL",
    ],
)
def test_xml_that_some_server_reads_otherwise_is_not_trained(command: str) -> None:
    assert not one("xml", call(arguments=json.dumps({"command": command}))).train


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("text", ["See <tool_call>.", "Over.</think>"])
def test_a_text_that_some_server_reads_otherwise_is_not_trained(style: str, text: str) -> None:
    assert not one(style, call(), content=text).train
    assert one(style, call(), content="See tool_call.").train


@pytest.mark.parametrize("style", FORMATS)
def test_what_servers_do_to_white_space_is_done_before(style: str) -> None:
    turn = one(style, call(arguments='{ "command" :"x" }'), content="\n Now:\n", reasoning=" Hm.\n\n")
    assert turn == one(style, call(arguments='{"command": "x"}'), content="Now:", reasoning="Hm.")


def test_xml_of_a_type_that_is_not_the_schemas_is_not_trained() -> None:
    wrong = '{"command": "insert", "path": "/a", "insert_line": "5"}'
    assert not one("xml", call("str_replace_editor", wrong)).train
    assert one("hermes", call("str_replace_editor", wrong)).train


@pytest.mark.parametrize("style", FORMATS)
def test_a_text_that_pretends_to_call_is_not_trained(style: str) -> None:
    fake = Message(role="assistant", content='<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>')
    assert not render(style, fake)[0].train


@pytest.mark.parametrize("style", FORMATS)
def test_tools_are_defined_once(style: str) -> None:
    late = Message(role="system", content="Only Python from now on.")
    first, *others = render(style, *talk(2), late, *talk(1)[1:])
    assert "# Tools" in first.text
    assert not [turn for turn in others if "# Tools" in turn.text]
    assert late.content in [turn.text for turn in others]


@pytest.mark.parametrize("style", FORMATS)
def test_a_system_prompt_keeps_its_first_lines(style: str) -> None:
    assert render(style, Message(role="system", content="\n\nYou work."))[0].text.startswith("\n\nYou work.")


@pytest.mark.parametrize("style", TEXT)
def test_a_later_tag_that_ends_thinking_is_an_argument(style: str) -> None:
    turn = one(style, call(arguments='{"command": "grep \'</think>\' a.py"}'), reasoning="Where is it?")
    assert turn.train
    assert READ[style](turn.text.partition("</think>")[2])[1] == {"command": "grep '</think>' a.py"}
    assert not one(style, call(arguments='{"command": "grep \'</think>\' a.py"}')).train


@pytest.mark.parametrize("style", FORMATS)
def test_only_assistant_turns_are_trained(style: str) -> None:
    turns = render(style, *talk())
    assert [turn.origin for turn in turns if turn.train] == ["assistant"] * 3
    assert {tuple(turn.row) for turn in turns} == {tuple(turns[0].row)}
    assert all(turn.row["train"] == turn.train for turn in turns)


def test_hermes_defines_the_tools_one_on_a_line() -> None:
    text = render("hermes", *talk())[0].text
    assert text.startswith("You work.\n\n")
    lines = text.partition("<tools>\n")[2].partition("\n</tools>")[0].split("\n")
    assert [json.loads(line) for line in lines] == TOOLS


def test_xml_defines_the_tools_as_elements() -> None:
    text = render("xml", *talk())[0].text
    for tool in TOOLS:
        assert f"<function>\n<name>{tool['function']['name']}</name>\n" in text
    assert '<enum>["view", "create", "str_replace", "insert", "undo_edit"]</enum>' in text
    assert '<required>["command", "path"]</required>' in text


@pytest.mark.parametrize("style", TEXT)
def test_answers_of_tools_are_user_turns(style: str) -> None:
    answers = [Message(role="tool", content=text, tool_call_id="c") for text in ("one\n", "two")]
    turns = render(style, *answers)
    assert [(turn.role, turn.text) for turn in turns] == [
        (
            "user",
            "<tool_response>\none\n\n</tool_response>\n<tool_response>\ntwo\n</tool_response>",
        )
    ]


def test_two_tool_turns_with_a_word_between_stay_apart() -> None:
    assert [turn.origin for turn in render("hermes", *talk(2))] == [
        "system",
        "user",
        *["assistant", "tool"] * 2,
    ]


def test_raw_keeps_the_wire_form() -> None:
    row = one("raw", call(arguments='{ "command": "é"}'), content="So:", reasoning="Hm.").row
    assert row == {
        "role": "assistant",
        "content": "So:",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "call_0",
                "type": "function",
                "function": {"name": "bash", "arguments": '{"command": "é"}'},
            }
        ],
        "tool_call_id": "",
        "train": True,
    }


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="hermes, xml, raw"):
        find_format("json")


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize(
    "calls",
    [
        (call(), call()),
        (call(name=""),),
        (call(arguments='{"name": "bash", "arguments": {"command": "ls"}}'),),
        (call(arguments='{"command": null}'),),
    ],
    ids=["twice", "nameless", "nested", "null"],
)
def test_a_call_that_teaches_nothing_good_is_not_trained(style: str, calls: tuple[ToolCall, ...]) -> None:
    assert not render(style, Message(role="assistant", tool_calls=calls))[0].train
