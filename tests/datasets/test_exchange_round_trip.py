"""Out and in again: the messages of a sample come back from the forms that lose nothing of them."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import make_dataset
from made_samples import TOOLS, sample

from sera.datasets.exchange.export import export_dataset
from sera.datasets.exchange.imported import read_samples
from sera.datasets.exchange.imports import Known, import_trajectories
from sera.errors import DatasetError
from sera.formats.contract import canonical
from sera.generation.recall import compare
from sera.records import Message, ToolCall

LETTERS = st.text(alphabet=st.sampled_from("ab <>/\n\t\"'\\{}[]:,=é字\u2028\U0001f600"), max_size=30)
TAGS = st.sampled_from(
    ["<tool_response>\nx\n</tool_response>", "</think>", "<tool_call>", "null", "5", "OBSERVATION:\n"]
)
SHOWN = st.one_of(LETTERS, st.builds("{}{}{}".format, LETTERS, TAGS, LETTERS))
"""What a user says, or one tool alone: anything. Where several answers share a turn, a tag in one of them
could not be told from one around them."""
SAID = st.builds(str.strip, LETTERS.map(lambda text: text.replace("<", "(").replace(">", ")")))
"""What an assistant says: no tags, which would make it illegible, and no white space around it."""
ARGUMENTS = st.one_of(
    st.builds(lambda text: ("bash", {"command": text}), LETTERS),
    st.builds(
        lambda path, text: ("str_replace_editor", {"command": "create", "path": path, "file_text": text}),
        LETTERS,
        LETTERS,
    ),
    st.just(("str_replace_editor", {"command": "view", "path": "/a", "view_range": [1, 20]})),
    st.just(("submit", {})),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """A conversation as an agent has it, every call answered, ended by the assistant."""
    messages = [Message(role="system", content="You work."), Message(role="user", content=draw(SHOWN))]
    made = 0
    for calls in draw(st.lists(st.lists(ARGUMENTS, min_size=1, max_size=2, unique_by=str), max_size=3)):
        written = [
            ToolCall(id=f"call_{made + n}", name=name, arguments=json.dumps(arguments, ensure_ascii=False))
            for n, (name, arguments) in enumerate(calls)
        ]
        made += len(calls)
        said, thought = draw(SAID), draw(SAID)
        messages.append(Message(role="assistant", content=said, reasoning=thought, tool_calls=tuple(written)))
        shown = SHOWN if len(written) == 1 else LETTERS
        messages += [Message(role="tool", content=draw(shown), tool_call_id=call.id) for call in written]
    return (*messages, Message(role="assistant", content="All done."))


@pytest.mark.parametrize(
    ("style", "to", "origin"),
    [
        ("raw", "jsonl", "openai"),
        ("raw", "openai", "openai"),
        ("hermes", "jsonl", "sera"),
        ("xml", "jsonl", "sera"),
    ],
)
@settings(max_examples=3, deadline=None)
@given(talks=st.lists(conversations(), min_size=15, max_size=15))
def test_messages_come_back(
    style: str, to: str, origin: str, talks: list[tuple[Message, ...]], byte_tokenizer: str
) -> None:
    samples = [sample(index, messages=talk) for index, talk in enumerate(talks)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder / "data", byte_tokenizer, style, samples)
        export_dataset(folder / "data", folder / "out", to)
        known = Known(submitted=True, tools=tuple(TOOLS))
        import_trajectories([folder / "out" / "train.jsonl"], folder / "in", origin, known, compare)
        back = [one.messages for one in read_samples(folder / "in")]
    for talk, read in zip(_different(talks) if to == "openai" else talks, back, strict=True):
        wanted = [canonical(message) for message in talk]
        if style != "raw":
            wanted[0] = msgspec.structs.replace(wanted[0], content=read[0].content)
        assert list(read) == wanted


def _different(talks: list[tuple[Message, ...]]) -> list[tuple[Message, ...]]:
    """Each once: OpenAI's form has no names, so that equal conversations are one."""
    return [talk for number, talk in enumerate(talks) if talk not in talks[:number]]


def test_two_answers_in_one_turn_that_hold_the_tags_are_refused(tmp_path: Path, byte_tokenizer: str) -> None:
    calls = tuple(
        ToolCall(id=name, name="bash", arguments=json.dumps({"command": name})) for name in ("a", "b")
    )
    talk = (
        Message(role="system"),
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", content="<tool_response>\nx\n</tool_response>", tool_call_id="a"),
        Message(role="tool", content="y", tool_call_id="b"),
    )
    make_dataset(tmp_path / "data", byte_tokenizer, "hermes", [sample(messages=talk)])
    with pytest.raises(DatasetError, match="1 unpaired"):
        import_trajectories([tmp_path / "data" / "train.jsonl"], tmp_path / "in", "sera", Known(), compare)
