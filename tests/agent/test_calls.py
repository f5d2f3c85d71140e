"""Which arguments are read by a tool's definition, and what is still refused."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from test_loop import SUBMIT, observations, roll_out

from sera.agent.calls import Call, Malformed, read_call
from sera.agent.memory import replied
from sera.harness import load_profile
from sera.records import Answered, Message, ToolCall
from sera.runs import Trail
from sera.teachers.contract import Reply
from sera.teachers.scripted import ScriptedTeacher, call

PROFILE = load_profile()
PATH = {"path": "/testbed/pkg/mod.py"}


def read(tool: str, arguments: str) -> Call | Malformed:
    made = ToolCall(id="1", name=tool, arguments=arguments)
    return read_call(Reply(message=Message(role="assistant", tool_calls=(made,))), PROFILE)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"command": "view", "view_range": None, "file_text": None, "insert_line": None}, {"command": "view"}),
        ({"command": "view", "view_range": "[11, 40]"}, {"command": "view", "view_range": [11, 40]}),
        ({"command": "view", "view_range": ["2", 9.0]}, {"command": "view", "view_range": [2, 9]}),
        ({"command": "view", "view_range": ' ["5", -1.0] '}, {"command": "view", "view_range": [5, -1]}),
        ({"command": "insert", "insert_line": "12", "new_str": "7"},
         {"command": "insert", "insert_line": 12, "new_str": "7"}),
        ({"command": "insert", "insert_line": 0.0, "new_str": "[1]"},
         {"command": "insert", "insert_line": 0, "new_str": "[1]"}),
        ({"command": "str_replace", "old_str": "x", "new_str": None}, {"command": "str_replace", "old_str": "x"}),
        ({"command": "str_replace", "old_str": "null", "new_str": "3.0"},
         {"command": "str_replace", "old_str": "null", "new_str": "3.0"}),
    ],
)  # fmt: skip
def test_near_types_are_read_by_the_definition(given: dict[str, Any], meant: dict[str, Any]) -> None:
    found = read("str_replace_editor", json.dumps(given | PATH))
    assert found == Call("str_replace_editor", meant | PATH)
    assert isinstance(found, Call)
    assert not any(isinstance(value, float) for value in found.arguments.values())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"command": None, **PATH}, "command must be text"),
        ({"command": "view", "path": 3}, "path must be text"),
        ({"command": "view", **PATH, "colour": None}, "there is no parameter colour"),
        ({"command": "insert", **PATH, "insert_line": True}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": "true"}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": 2.5}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": "two"}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": "9" * 5000}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": "1e999"}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": '"4"'}, "insert_line must be a whole number"),
        ({"command": "insert", **PATH, "insert_line": [4]}, "insert_line must be a whole number"),
        ({"command": "view", **PATH, "view_range": 4}, "view_range must be a list"),
        ({"command": "view", **PATH, "view_range": "4"}, "view_range must be a list"),
        ({"command": "view", **PATH, "view_range": "[" * 9000}, "view_range must be a list"),
        ({"command": "view", **PATH, "view_range": [1, None]},
         "view_range must be a list, each item a whole number"),
        ({"command": "view", **PATH, "new_str": ["a"]}, "new_str must be text"),
    ],
)  # fmt: skip
def test_nothing_else_is_loosened(arguments: dict[str, Any], problem: str) -> None:
    told = PROFILE.say("bad_arguments", name="str_replace_editor", problem=problem)
    assert read("str_replace_editor", json.dumps(arguments)) == Malformed(told)


def test_a_near_call_is_run_and_recorded_as_it_came(in_sandbox: Any) -> None:
    near = call(
        "str_replace_editor", command="insert", path="/testbed/README.md", insert_line="1.0", new_str="more",
        view_range=None,
    )  # fmt: skip
    outcome = roll_out(in_sandbox, ScriptedTeacher([near, *SUBMIT]))
    assert outcome.patch.endswith("+more\n")
    assert outcome.messages[2].tool_calls[0].arguments == near.tool_calls[0].arguments


def test_a_call_that_was_refused_before_is_not_run_when_the_rollout_goes_on(
    in_sandbox: Any, tmp_path: Path
) -> None:
    """A rollout begun when such a call was refused goes on from its tree, and keeps what was paid for."""
    path = "/testbed/README.md"
    refused = call("str_replace_editor", command="insert", path=path, insert_line="0", new_str="x")
    told = Message(role="tool", content="OBSERVATION:\nRefused.", tool_call_id="c")
    made = call("bash", command="echo kept > made")
    script = ScriptedTeacher([refused, made, *SUBMIT])

    async def remembered() -> None:
        with Trail(tmp_path / "r.jsonl") as trail:
            await trail.remember(replied(0, Reply(message=refused)))
            await trail.remember(Answered(number=0, messages=(told,), tree=""))

    asyncio.run(remembered())
    with Trail(tmp_path / "r.jsonl") as trail:
        outcome = roll_out(in_sandbox, script, trail)
    assert observations(outcome)[0] == "Refused."
    assert "README" not in outcome.patch
    assert "+kept" in outcome.patch
