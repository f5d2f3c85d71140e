"""Calls that the tools do not define: what counts as one, and what becomes of their turns and samples."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from made_samples import SOURCE, TOOLS, sample, talk

from sera.cli.dataset import build, import_, stats
from sera.datasets import DatasetConfig, Sample, build_dataset
from sera.datasets.exchange.imported import imported_profile
from sera.datasets.manifest import Manifest
from sera.datasets.proof import Kind, StudentNames, check_dataset
from sera.errors import DatasetError
from sera.formats import FORMATS
from sera.formats.servers import schemas_of, undefined
from sera.records import Message, ToolCall

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "count": {"type": ["integer", "null"]},
        "mode": {"enum": ["view", "edit"]},
        "ratio": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
        "free": {},
        "odd": {"$ref": "#/x", "type": ["wholly", 7]},
        "none": {"type": "string", "nullable": True},
    },
    "required": ["path"],
}
OPEN = {**SCHEMA, "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"path": "a"}, set()),
        ({"path": "a", "lines": [1, 2], "count": None, "mode": "view", "ratio": None, "none": None}, set()),
        ({"path": "a", "count": 2.0, "ratio": 1, "deep": {"on": False}, "free": [None], "odd": {}}, set()),
        ({}, {"missing_argument"}),
        ({"file": "a"}, {"missing_argument", "unknown_argument"}),
        ({"path": ["a"]}, {"wrong_argument"}),
        ({"path": None}, {"wrong_argument"}),
        ({"path": "a", "count": True}, {"wrong_argument"}),
        ({"path": "a", "count": "2"}, {"wrong_argument"}),
        ({"path": "a", "count": 2.5}, {"wrong_argument"}),
        ({"path": "a", "lines": [1, "2"]}, {"wrong_argument"}),
        ({"path": "a", "mode": "read"}, {"wrong_argument"}),
        ({"path": "a", "ratio": "much"}, {"wrong_argument"}),
        ({"path": "a", "deep": {}}, {"wrong_argument"}),
        ({"path": "a", "deep": {"on": 1}}, {"wrong_argument"}),
        ({"path": "a", "more": 1}, {"unknown_argument"}),
    ],
)
def test_arguments_are_held_to_their_schema(given: dict[str, Any], faults: set[str]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    assert undefined(("f", given), schemas_of(tools)) == faults
    open_ = [{"type": "function", "function": {"name": "f", "parameters": OPEN}}]
    assert undefined(("f", given), schemas_of(open_)) == faults - {"unknown_argument"}


def test_what_is_not_understood_allows_everything() -> None:
    schemas = schemas_of([{"function": {"name": "f"}}, {"name": "g", "parameters": 3}])
    assert undefined(("f", {"a": 1}), schemas) == undefined(("g", {"a": 1}), schemas) == set()
    assert undefined(("f", None), schemas) == set()
    assert undefined(("h", {}), schemas) == undefined(("", {}), schemas) == {"undefined_tool"}
    nested: Any = {}
    for _ in range(500):
        nested = {"type": "array", "items": nested}
    value: Any = []
    for _ in range(500):
        value = [value]
    deep = schemas_of([{"name": "f", "parameters": {"properties": {"a": nested}}}])
    assert undefined(("f", {"a": value}), deep) == set()


def wrong(name: str, **given: Any) -> Sample:
    """A sample whose last call is this one."""
    last = ToolCall(id="call_0", name=name, arguments=json.dumps(given))
    return sample(messages=talk(last=last))


def made(folder: Path, tokenizer: str, *samples: Sample, **settings: Any) -> Manifest:
    config = DatasetConfig(tokenizer=tokenizer, workers=1, **settings)
    return build_dataset(samples, folder, config, [SOURCE])


def trained(folder: Path) -> list[bool]:
    (row,) = map(json.loads, (folder / "train.jsonl").read_text().splitlines())
    return [turn["train"] for turn in row["messages"] if turn["role"] == "assistant"]


def counted(tallies: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in tallies.items() if name.startswith("call/")}


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize(
    ("name", "given", "faults"),
    [
        ("sh", {"command": "ls"}, {"call/undefined_tool": 1}),
        ("bash", {"cmd": "ls"}, {"call/missing_argument": 1, "call/unknown_argument": 1}),
        ("bash", {"command": ["ls"]}, {"call/wrong_argument": 1}),
    ],
)
def test_such_a_turn_is_context_only_and_counted(
    tmp_path: Path, byte_tokenizer: str, style: str, name: str, given: dict[str, Any], faults: dict[str, int]
) -> None:
    manifest = made(tmp_path / "data", byte_tokenizer, wrong(name, **given), format=style)
    assert trained(tmp_path / "data") == [True, True, False]
    assert (counted(manifest.tallies), counted(manifest.row_tallies)) == (faults, faults)
    assert manifest.untrained_turns == 1


def test_or_its_sample_is_left_out(tmp_path: Path, byte_tokenizer: str) -> None:
    good = sample(1)
    bad = msgspec.structs.replace(wrong("sh"), id="bad", task="other")
    manifest = made(tmp_path / "data", byte_tokenizer, good, bad, undefined_calls="drop")
    assert manifest.counts["t2"].rejected == {"undefined_call": 1}
    assert counted(manifest.tallies) == {"call/undefined_tool": 1}
    assert counted(manifest.row_tallies) == {}


def test_a_sample_whose_tools_are_defined_nowhere_is_no_row(tmp_path: Path, byte_tokenizer: str) -> None:
    with pytest.raises(DatasetError, match="1 undefined_call"):
        made(tmp_path / "data", byte_tokenizer, sample(tools=[]))
    silent = sample(tools=[], messages=(*talk(0), Message(role="assistant", content="All is well.")))
    assert made(tmp_path / "data", byte_tokenizer, silent).rows == 1


@pytest.mark.parametrize("style", FORMATS)
def test_the_proofs_find_a_tool_that_is_not_defined(tmp_path: Path, byte_tokenizer: str, style: str) -> None:
    data = tmp_path / "data"
    made(data, byte_tokenizer, sample(), format=style)
    text = (data / "train.jsonl").read_text()
    spelt = {"hermes": '"name\\": \\"bash\\", \\"arg', "xml": "<function=bash>", "raw": '"name":"bash","arg'}[
        style
    ]
    assert spelt in text
    (data / "train.jsonl").write_text(text.replace(spelt, spelt.replace("bash", "bush")))
    names = StudentNames(tokenizer=byte_tokenizer)
    report = check_dataset(data, names, workers=1, files=False)
    assert report.counts == {Kind.CALL_UNDEFINED: 3}
    assert "'bush' is called, and no tool of that name is defined" in report.faults[0].message


def test_the_commands_tell_of_them(tmp_path: Path, byte_tokenizer: str) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "Mend it."},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "a", "function": {"name": name, "arguments": '{"command": "ls"}'}}],
                },
                {"role": "tool", "content": "x", "tool_call_id": "a"},
                {"role": "assistant", "content": "Done."},
            ],
            "tools": TOOLS,
            "id": name,
        }
        for name in ("bash", "sh")
    ]
    file, imported, data = tmp_path / "rows.jsonl", tmp_path / "imported", tmp_path / "data"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for command, *arguments in (
        (import_.command, file, "--submitted", "--out", imported),
        (build.command, imported, "--min-recall", "0", "--tokenizer", byte_tokenizer, "--out", data),
    ):
        result = CliRunner().invoke(command, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
    assert (
        "turns with calls that the tools do not define, none of them trained on: 1 undefined_tool"
        in " ".join(result.output.split())
    )
    shown = CliRunner().invoke(stats.command, [str(data)])
    assert "undefined_tool" in shown.output
    assert (
        imported_profile("openai", TOOLS).hash == json.loads((data / "manifest.json").read_text())["profile"]
    )
