"""Rows go from each format to each other and back, or are refused."""

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import TOOLS, talk

from sera.datasets.rendering.convert import convert_row
from sera.errors import DatasetError
from sera.formats import find_format
from sera.records import Message, ToolCall

WAYS = list(permutations(("hermes", "xml", "raw"), 2))


def row_of(messages: list[Message], style: str) -> dict[str, Any]:
    """A row as a build makes it."""
    kind = find_format(style)
    tools = (
        {"tools": json.dumps(TOOLS, separators=(",", ":"), ensure_ascii=False)} if kind.tools_column else {}
    )
    return {"id": "a", "messages": [turn.row for turn in kind.render(messages, TOOLS)], "tokens": 1} | tools


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: text.replace("<", ""))
steps = st.lists(st.tuples(words, words, words, st.lists(words, min_size=1, max_size=2)), max_size=3)


def conversation(said: list[tuple[str, str, str, list[str]]]) -> list[Message]:
    """Assistants with one or two calls each, and their answers."""
    messages = [Message(role="system", content="You work."), Message(role="user", content="Mend it.")]
    for reasoning, content, answer, commands in said:
        calls = tuple(
            ToolCall(id=f"call_{n}", name="bash", arguments=json.dumps({"command": command}))
            for n, command in enumerate(commands)
        )
        messages.append(Message(role="assistant", content=content, reasoning=reasoning, tool_calls=calls))
        messages += [Message(role="tool", content=answer, tool_call_id=one.id) for one in calls]
    return messages


@pytest.mark.parametrize(("source", "target"), WAYS)
@settings(max_examples=12, deadline=None)
@given(said=steps)
def test_a_converted_row_is_the_one_that_would_have_been_built(
    source: str, target: str, said: list[tuple[str, str, str, list[str]]]
) -> None:
    row = row_of(conversation(said), source)
    if any(not turn["train"] for turn in row["messages"] if turn["role"] == "assistant"):
        return
    wanted = row_of(conversation(said), target)
    left_out = [turn["train"] for turn in wanted["messages"] if turn["role"] == "assistant"]
    converted = convert_row(row, source, target, TOOLS)
    assert converted == wanted
    assert converted.keys() == wanted.keys()
    if all(left_out):
        assert convert_row(converted, target, source, TOOLS) == row


@pytest.mark.parametrize(("source", "target"), [("hermes", "raw"), ("xml", "hermes")])
def test_a_turn_that_does_not_read_back_is_refused(source: str, target: str) -> None:
    row = row_of(list(talk(2)), source)
    row["messages"][2]["content"] += " And now?"
    with pytest.raises(DatasetError, match=r"message 2.*without loss"):
        convert_row(row, source, target, TOOLS)


def test_xml_rows_need_the_definitions_of_tools() -> None:
    with pytest.raises(DatasetError, match="harness profile"):
        convert_row(row_of(list(talk(1)), "xml"), "xml", "raw")


def test_what_was_not_trained_on_stays_so() -> None:
    row = row_of(list(talk(2)), "raw")
    row["messages"][2]["train"] = False
    trained = [turn["train"] for turn in convert_row(row, "raw", "hermes")["messages"]]
    assert trained == [False, False, False, False, True, False]


@pytest.mark.parametrize(("source", "target"), [("hermes", "raw"), ("raw", "hermes"), ("hermes", "xml")])
def test_a_talk_that_begins_with_the_user(source: str, target: str) -> None:
    messages = [Message(role="user", content="Mend it."), Message(role="assistant", content="Done.")]
    made, wanted = (
        {"id": "a", "messages": [turn.row for turn in find_format(style).render(messages, [])]}
        for style in (source, target)
    )
    assert convert_row(made, source, target)["messages"] == wanted["messages"]
