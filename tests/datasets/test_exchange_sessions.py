"""Sessions and rows of agents that people have at hand: Claude Code, Anthropic, OpenHands, ShareGPT, SWE-smith."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_samples import patch

from sera.datasets.exchange.imported import ImportRecord, read_samples
from sera.datasets.exchange.imports import IMPORTS, Known, import_trajectories, recognise
from sera.datasets.sample import Sample
from sera.errors import DatasetError
from sera.generation.recall import compare
from sera.records import End, Message

Json = dict[str, Any]


def take(file: Path, origin: str = "auto", **known: Any) -> tuple[ImportRecord, list[Sample]]:
    out = file.parent / "imported"
    record = import_trajectories([file], out, origin, Known(submitted=True, **known), compare)
    return record, list(read_samples(out))


def lines(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def brief(messages: tuple[Message, ...]) -> list[tuple[str, ...]]:
    """Role, text, and the calls made or the call answered."""
    return [
        (one.role, one.content, *(call.name for call in one.tool_calls), *filter(None, [one.tool_call_id]))
        for one in messages
    ]


# ── Claude Code ───────────────────────────────────────────────────────────────────────────────────


def event(kind: str, uuid: str, parent: str | None, content: Any = None, **more: Any) -> Json:
    """A line as the program writes it; `said` is the id of the answer."""
    found: Json = {"parentUuid": parent, "isSidechain": False, "sessionId": "S", "type": kind, "uuid": uuid}
    if content is not None:
        found["message"] = {"role": kind, "content": content}
    if said := more.pop("said", None):
        found["message"] |= {"id": said, "type": "message", "model": "claude-x", "usage": {"input_tokens": 9}}
    return found | more


def use(identity: str, name: str, **given: Any) -> list[Json]:
    return [{"type": "tool_use", "id": identity, "name": name, "input": given}]


def result(identity: str, content: Any, **more: Any) -> list[Json]:
    return [{"type": "tool_result", "tool_use_id": identity, "content": content, **more}]


def thought(text: str, **more: Any) -> list[Json]:
    return [{"type": "thinking", "thinking": text, "signature": "c2ln", **more}]


def text(words: str) -> list[Json]:
    return [{"type": "text", "text": words}]


def test_an_answer_in_several_lines_is_one_message_with_the_results_of_its_calls(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "s.jsonl",
        {"type": "file-history-snapshot", "messageId": "x", "snapshot": {}},
        event("user", "u", None, "The till adds up wrongly."),
        event("assistant", "a1", "u", thought("Where is it?"), said="m1"),
        event("assistant", "a2", "a1", text("I look twice."), said="m1"),
        event("assistant", "a3", "a2", use("one", "Read", file_path="till.py"), said="m1"),
        event("assistant", "a4", "a3", use("two", "Bash", command="pytest"), said="m1"),
        event("user", "r1", "a3", result("one", [*text("1\ttotal"), {"type": "image", "source": {}}])),
        event("user", "r2", "a4", result("two", "Exit code 1", is_error=True)),
        event("system", "x", "r2", subtype="turn_duration"),
        event("assistant", "a5", "x", thought(""), said="m2"),
        event("assistant", "a6", "a5", text("It was the sign."), said="m2"),
    )
    record, (sample,) = take(file)
    assert brief(sample.messages) == [
        ("system", ""),
        ("user", "The till adds up wrongly."),
        ("assistant", "I look twice.", "Read", "Bash"),
        ("tool", "1\ttotal\n[image]", "one"),
        ("tool", "Exit code 1", "two"),
        ("assistant", "It was the sign."),
    ]
    assert sample.messages[2].reasoning == "Where is it?"
    assert sample.teacher == {"model": "claude-x"}
    assert record.format == "claude-code"
    assert record.lost == {
        "encrypted reasoning": 1,
        "image": 1,
        "is_error": 1,
        "line file-history-snapshot": 1,
        "line system/turn_duration": 1,
    }
    assert record.inferred == {"Bash": 1, "Read": 1}


def test_the_branch_that_ends_last_is_the_conversation(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "s.jsonl",
        event("user", "u", None, "Mend it."),
        event("assistant", "a", "u", text("First try."), said="m1"),
        event("user", "v", "u", "Mend it otherwise.", isMeta=True),
        event("assistant", "side", "u", text("aside"), said="m9", isSidechain=True),
        event("assistant", "e", "v", text("API Error"), said="m2", isApiErrorMessage=True),
        event("assistant", "b", "e", text("Second try."), said="m3"),
    )
    record, (sample,) = take(file)
    assert brief(sample.messages)[1:] == [
        ("user", "Mend it."),
        ("user", "Mend it otherwise."),
        ("assistant", "Second try."),
    ]
    assert record.lost == {"answer of the program": 1, "line of a sub-agent": 1, "line of another branch": 1}


def test_a_call_that_was_never_carried_out_costs_its_answer_only(tmp_path: Path) -> None:
    """As the program goes on with such a session."""
    both = [*use("d", "Read", file_path="d"), *use("e", "Read", file_path="e")]
    said = [
        ("user", text("Mend it.")),
        ("assistant", [*text("I look."), *use("a", "Read", file_path="a")]),
        ("user", result("a", "till")),
        ("assistant", [*text("I write."), *use("b", "Write", file_path="b")]),
        ("user", text("No, the other.")),
        ("assistant", both),
        ("user", result("e", "sum")),
        ("assistant", text("Mended.")),
        ("user", text("And now?")),
        ("assistant", use("f", "Read", file_path="f")),
    ]
    rows = [
        event(kind, str(n), str(n - 1) if n else None, content, said=f"m{n}" if kind == "assistant" else "")
        for n, (kind, content) in enumerate(said)
    ]
    record, (sample,) = take(lines(tmp_path / "s.jsonl", *rows))
    assert brief(sample.messages) == [
        ("system", ""),
        ("user", "Mend it."),
        ("assistant", "I look.", "Read"),
        ("tool", "till", "a"),
        ("user", "No, the other."),
        ("assistant", "", "Read"),
        ("tool", "sum", "e"),
        ("assistant", "Mended."),
        ("user", "And now?"),
        ("assistant", "", "Read"),
    ]
    assert record.lost["unanswered call"] == 2


def test_what_follows_a_compaction_is_a_conversation_of_its_own(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "s.jsonl",
        event("user", "u", None, "Mend it."),
        event("assistant", "a", "u", text("I begin."), said="m1"),
        event("system", "c", None, subtype="compact_boundary", logicalParentUuid="a"),
        event("user", "s", "c", "So far: begun.", isCompactSummary=True),
        event("assistant", "b", "s", text("I go on."), said="m2"),
    )
    _, (first, second) = take(file)
    assert (first.end, second.end) == (End.CONTEXT, End.SUBMITTED)
    assert brief(second.messages) == [("system", ""), ("user", "So far: begun."), ("assistant", "I go on.")]
    assert first.task != second.task


def test_a_sub_agent_in_a_file_of_its_own_is_taken(tmp_path: Path) -> None:
    aside = {"isSidechain": True, "agentId": "7f"}
    file = lines(
        tmp_path / "agent-7f.jsonl",
        event("user", "u", None, "Find the till.", **aside),
        event("assistant", "a", "u", text("It is in shop/."), said="m1", **aside),
    )
    _, (sample,) = take(file)
    assert brief(sample.messages)[1:] == [("user", "Find the till."), ("assistant", "It is in shop/.")]


def test_lines_that_name_no_line_of_the_file_are_read_in_their_order(tmp_path: Path) -> None:
    rows = [event("user", "", None, "Mend it."), event("assistant", "", "1", text("Done."), said="m1")]
    file = lines(tmp_path / "s.jsonl", *({k: v for k, v in row.items() if k != "uuid"} for row in rows))
    _, (sample,) = take(file)
    assert brief(sample.messages)[1:] == [("user", "Mend it."), ("assistant", "Done.")]


def test_broken_and_circular_lines_cost_themselves(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "s.jsonl",
        event("user", "u", "v", "Round"),
        event("assistant", "v", "u", text("and round."), said="m1"),
        event("user", "w", None, [3]),
        event("user", "x", "gone", {"no": "content"}),
        {"type": 7, "uuid": "y"},
        event("user", "z", None, "Mend it."),
        event("assistant", "a", "z", text("Done."), said="m2"),
        event("assistant", "a", "z", text("Done."), said="m2"),
    )
    file.write_bytes(file.read_bytes() + b'{"type": "assistant", "uu')
    record, samples = take(file)
    assert record.taken == 2
    assert sum(record.refused.values()) == 4
    assert record.lost["repeated line"] == 1
    assert [one.messages[-1].content for one in samples] == ["and round.", "Done."]


def test_the_stream_that_the_program_prints_is_read_in_its_order(tmp_path: Path) -> None:
    def printed(kind: str, content: Any, said: str = "", agent: str | None = None) -> Json:
        message = {"role": kind, "content": content, **({"id": said} if said else {})}
        return {"type": kind, "message": message, "parent_tool_use_id": agent, "session_id": "S"}

    file = lines(
        tmp_path / "out.jsonl",
        {"type": "system", "subtype": "init", "session_id": "S", "tools": ["Bash"]},
        printed("assistant", text("I look."), "m1"),
        printed("assistant", use("t", "Bash", command="ls"), "m1"),
        printed("user", result("t", "till.py")),
        printed("assistant", text("As a helper."), "m7", agent="t"),
        printed("assistant", use("t", "Bash", command="id"), "m2"),
        printed("user", result("t", "root")),
        {"type": "result", "subtype": "success", "result": "Done.", "session_id": "S"},
    )
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    record, (sample,) = take(file)
    assert brief(sample.messages) == [
        ("system", ""),
        ("assistant", "I look.", "Bash"),
        ("tool", "till.py", "t"),
        ("assistant", "", "Bash"),
        ("tool", "root", "t"),
    ]
    assert record.lost == {"line of a sub-agent": 1, "line result/success": 1, "line system/init": 1}


# ── Anthropic ─────────────────────────────────────────────────────────────────────────────────────


def test_anthropic_bodies_with_their_answer(tmp_path: Path) -> None:
    tool = {
        "name": "bash",
        "description": "Runs.",
        "input_schema": {"type": "object", "properties": {"c": {}}},
    }
    body = {
        "model": "claude-y",
        "system": [{"type": "text", "text": "You work.", "cache_control": {"type": "ephemeral"}}],
        "tools": [tool],
        "messages": [
            {"role": "user", "content": text("Mend it.")},
            {"role": "assistant", "content": [*thought("Hm."), *text("So:"), *use("t", "bash", c="ls")]},
            {"role": "user", "content": [*result("t", "x.py"), *text("Go on, please.")]},
        ],
    }
    answer = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "eHg="}, *text("Done.")]}
    file = lines(
        tmp_path / "a.jsonl", {"id": "log-1", "request": body, "response": answer, "patch": patch("m")}
    )
    record, (sample,) = take(file)
    assert brief(sample.messages) == [
        ("system", "You work."),
        ("user", "Mend it."),
        ("assistant", "So:", "bash"),
        ("tool", "x.py", "t"),
        ("user", "Go on, please."),
        ("assistant", "Done."),
    ]
    assert sample.messages[2].reasoning == "Hm."
    assert sample.tools[0]["function"] == {
        "name": "bash",
        "description": "Runs.",
        "parameters": tool["input_schema"],
    }
    assert (record.lost, record.unknown) == ({"encrypted reasoning": 1}, {"recall": 1})


def test_arguments_that_were_no_json_stay_what_they_were(tmp_path: Path) -> None:
    spoilt = {"__unparsedToolInput": {"raw": '{"command": "ls', "len": 15}}
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": spoilt}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": result("t", "<tool_use_error>no JSON</tool_use_error>")},
        {"role": "assistant", "content": "I try again."},
    ]
    _, (sample,) = take(lines(tmp_path / "a.jsonl", {"messages": messages}), "anthropic")
    (found,) = sample.messages[2].tool_calls
    assert (found.arguments, found.malformed) == ('{"command": "ls', True)


# ── OpenHands ─────────────────────────────────────────────────────────────────────────────────────


def acted(number: int, action: str, args: Json, said: Json | None = None, call: str = "") -> Json:
    meta: Json = {"function_name": action, "tool_call_id": call, "total_calls_in_response": 1}
    if said:
        meta["model_response"] = {"id": f"r{number}", "model": "m-1", "choices": [{"message": said}]}
    more = {"tool_call_metadata": meta} if call else {}
    return {"id": number, "source": "agent", "action": action, "args": args, **more}


def observed(number: int, kind: str, content: str, cause: int) -> Json:
    return {"id": number, "source": "environment", "observation": kind, "content": content, "cause": cause}


def call_of(identity: str, name: str, **given: Any) -> Json:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}


HISTORY = [
    {
        "id": 0,
        "source": "agent",
        "action": "system",
        "args": {"content": "You are OpenHands.", "tools": None},
    },
    {"id": 1, "source": "user", "action": "message", "args": {"content": "Mend it.", "image_urls": []}},
    {"id": 2, "source": "environment", "observation": "agent_state_changed", "content": "", "cause": 0},
    {"id": 3, "source": "environment", "observation": "recall", "content": "Added context", "cause": 1},
    acted(
        4,
        "run",
        {"command": "ls", "thought": "I look."},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [call_of("c1", "execute_bash", command="ls"), call_of("c2", "think", thought="ok")],
        },
        "c1",
    ),
    observed(5, "run", "till.py", 4),
    acted(6, "think", {"thought": "ok"}, None, "c2")
    | {
        "tool_call_metadata": {
            "tool_call_id": "c2",
            "model_response": {"id": "r4", "choices": [{"message": {}}]},
        }
    },
    observed(7, "think", "Your thought has been logged.", 6),
    acted(8, "edit", {"path": "till.py", "thought": "Now I mend it.", "security_risk": "low", "start": None}),
    observed(9, "edit", "done", 8),
    acted(10, "finish", {"final_thought": "All done.", "outputs": {}}),
]


def test_openhands_rows_with_and_without_the_kept_answers(tmp_path: Path) -> None:
    row = {
        "instance_id": "till-1",
        "instance": {"repo": "shop/till", "base_commit": "c0ffee", "problem_statement": "It is wrong."},
        "metadata": {"llm_config": {"model": "m-2"}},
        "history": HISTORY,
        "test_result": {"git_patch": patch("m")},
    }
    record, (sample,) = take(lines(tmp_path / "output.jsonl", row))
    assert brief(sample.messages) == [
        ("system", "You are OpenHands."),
        ("user", "Mend it."),
        ("assistant", "I look.", "execute_bash", "think"),
        ("tool", "till.py", "c1"),
        ("tool", "Your thought has been logged.", "c2"),
        ("assistant", "Now I mend it.", "edit"),
        ("tool", "done", "event_8"),
        ("assistant", "", "finish"),
    ]
    assert sample.messages[2].reasoning == "Hm."
    assert json.loads(sample.messages[5].tool_calls[0].arguments) == {"path": "till.py"}
    assert (sample.end, sample.patch, sample.issue) == (End.SUBMITTED, patch("m"), "It is wrong.")
    assert (sample.source.repository, sample.source.commit) == ("shop/till", "c0ffee")
    assert record.lost == {"observation recall": 1}


@pytest.mark.parametrize("pairs", [False, True])
def test_openhands_events_alone(tmp_path: Path, pairs: bool) -> None:
    history: list[Any] = [HISTORY[:2], HISTORY[8:10], HISTORY[10:]] if pairs else HISTORY
    file = tmp_path / "trajectory.json"
    file.write_text(json.dumps(history))
    _, (sample,) = take(file)
    assert sample.end is End.SUBMITTED
    assert [message.role for message in sample.messages[-3:]] == ["assistant", "tool", "assistant"]


def test_openhands_goes_on_after_an_action_without_observation(tmp_path: Path) -> None:
    image = [{"type": "text", "text": "ok"}, {"type": "image_url", "image_url": {}}]
    events = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": "Mend it."}},
        {"id": 1, "source": "agent", "action": "run", "args": {"command": "sleep 9"}},
        {"id": 2, "source": "user", "action": "message", "args": {"content": "Too long."}},
        {"id": 3, "source": "agent", "action": "run", "args": {"command": "ls"}},
        {"id": 4, "source": "environment", "observation": "run", "content": image, "cause": 3},
        {"id": 5, "source": "agent", "action": "finish", "args": {}},
    ]
    record, (sample,) = take(lines(tmp_path / "events.jsonl", *events), "openhands")
    assert [one.content for one in sample.messages] == ["", "Mend it.", "Too long.", "", "ok[image]", ""]
    assert record.lost == {"unanswered call": 1, "image_url": 1}


def test_openhands_events_of_the_sdk(tmp_path: Path) -> None:
    def did(identity: str, name: str, **given: Any) -> Json:
        return {
            "kind": "ActionEvent",
            "source": "agent",
            "thought": text("I look.") if identity == "c1" else [],
            "reasoning_content": "Hm." if identity == "c1" else None,
            "action": {"kind": "X"},
            "tool_name": name,
            "tool_call_id": identity,
            "tool_call": {
                "id": identity,
                "name": name,
                "arguments": json.dumps(given),
                "origin": "completion",
            },
            "llm_response_id": "r1" if identity in ("c1", "c2") else "r2",
        }

    def saw(identity: str, content: Any) -> Json:
        found = {"kind": "TerminalObservation", "content": content}
        return {
            "kind": "ObservationEvent",
            "source": "environment",
            "observation": found,
            "tool_name": "x",
            "tool_call_id": identity,
            "action_id": "e",
        }

    schema = {"type": "object", "properties": {"command": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "terminal", "parameters": schema}}
    said = {"role": "user", "content": text("Mend it.")}
    file = lines(
        tmp_path / "events.jsonl",
        {
            "kind": "SystemPromptEvent",
            "source": "agent",
            "system_prompt": text("You work.")[0],
            "tools": [tool],
        },
        {"kind": "MessageEvent", "source": "user", "llm_message": said},
        did("c1", "terminal", command="ls"),
        saw("c1", text("till.py")),
        did("c2", "terminal", command="pwd"),
        saw("c2", text("/x")),
        {"kind": "ConversationStateUpdateEvent", "source": "environment", "key": "stats", "value": {}},
        {"kind": "Condensation", "source": "environment", "forgotten_event_ids": []},
        did("c3", "finish", message="done"),
    )
    record, (sample,) = take(file)
    assert brief(sample.messages) == [
        ("system", "You work."),
        ("user", "Mend it."),
        ("assistant", "I look.", "terminal", "terminal"),
        ("tool", "till.py", "c1"),
        ("tool", "/x", "c2"),
        ("assistant", "", "finish"),
    ]
    assert sample.messages[2].reasoning == "Hm."
    assert (sample.tools, sample.end, record.lost) == ([tool], End.SUBMITTED, {"Condensation": 1})


def test_openhands_events_of_which_little_was_kept(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "events.jsonl",
        {"kind": "MessageEvent", "source": "user", "llm_message": {"content": text("Mend it.")}},
        {
            "id": "e1",
            "kind": "ActionEvent",
            "tool_name": "terminal",
            "action": {"kind": "T", "command": "ls"},
        },
        {"kind": "ObservationEvent", "action_id": "e1", "observation": {"kind": "O", "output": "till.py"}},
        {"kind": "MessageEvent", "source": "agent", "llm_message": {"content": text("Done.")}},
    )
    _, (sample,) = take(file)
    assert brief(sample.messages)[1:] == [
        ("user", "Mend it."),
        ("assistant", "", "terminal"),
        ("tool", "till.py", "event_e1"),
        ("assistant", "Done."),
    ]
    assert sample.messages[2].tool_calls[0].arguments == '{"command": "ls"}'


# ── ShareGPT, and calls in the text ───────────────────────────────────────────────────────────────

WEATHER = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}


def test_sharegpt_with_tools_in_the_text(tmp_path: Path) -> None:
    prompt = (
        "You work.\n\n# Tools\n\nYou may call functions.\n<tools>\n"
        + json.dumps(WEATHER)
        + "\n</tools>\n\nFor each call write\n<tool_call>\n{...}\n</tool_call>\n\nBe brief."
    )
    turns = [
        {"from": "system", "value": prompt},
        {"from": "human", "value": "Look."},
        {
            "from": "gpt",
            "value": '<think>\nHm.\n</think>\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>',
        },
        {"from": "tool", "value": "<tool_response>\nrain\n</tool_response>"},
        {"from": "gpt", "value": "It rains."},
    ]
    file = tmp_path / "set.json"
    file.write_text(json.dumps([{"id": 7, "conversations": turns}, {"conversations": []}], indent=1))
    record, (sample,) = take(file)
    assert brief(sample.messages) == [
        ("system", "You work.\n\nBe brief."),
        ("user", "Look."),
        ("assistant", "", "look"),
        ("tool", "rain", "call_0"),
        ("assistant", "It rains."),
    ]
    assert (sample.messages[2].reasoning, sample.tools) == ("Hm.", [WEATHER])
    assert (record.format, record.refused) == ("sharegpt", {"no_answer": 1})


def test_sharegpt_with_calls_as_turns(tmp_path: Path) -> None:
    turns = [
        {"from": "user", "value": "Look."},
        {"from": "assistant", "value": "I do."},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"at": 1}}'},
        {"from": "observation", "value": "rain"},
        {"from": "gpt", "value": "It rains."},
    ]
    row = {"conversations": turns, "system": "S", "tools": json.dumps([WEATHER["function"]])}
    _, (sample,) = take(lines(tmp_path / "a.jsonl", row))
    assert brief(sample.messages) == [
        ("system", "S"),
        ("user", "Look."),
        ("assistant", "I do.", "look"),
        ("tool", "rain", "call_0"),
        ("assistant", "It rains."),
    ]
    assert sample.tools == [WEATHER]


def test_swe_smith_s_text_is_read_as_calls_of_the_tools_that_its_prompt_lists(tmp_path: Path) -> None:
    prompt = (
        "You mend.\nYou have access to the following functions:\n\n---- BEGIN FUNCTION #1: bash ----\n"
        "Description: Runs a command.\nParameters:\n  (1) command (string, required): The command.\n"
        "  (2) wait (integer, optional): Seconds.\n---- END FUNCTION #1 ----\n\n"
        "---- BEGIN FUNCTION #2: submit ----\nDescription: Hands in.\n"
        "No parameters are required for this function.\n---- END FUNCTION #2 ----\n\n"
        "If you choose to call a function ONLY reply so:\n<function=x>\n</function>\n"
        "<IMPORTANT>\nOne call.\n</IMPORTANT>\nWork well."
    )
    messages = [
        {"role": "system", "content": prompt},
        {"role": "user", "content": "Mend it."},
        {
            "role": "assistant",
            "content": "So:\n\n<function=bash>\n<parameter=command>ls\npwd</parameter>\n"
            "<parameter=wait>5</parameter>\n</function>",
        },
        {"role": "user", "content": "OBSERVATION:\nx"},
        {"role": "assistant", "content": "<function=submit>\n</function>"},
    ]
    row = {
        "instance_id": "i",
        "messages": json.dumps(messages),
        "model": "t",
        "resolved": True,
        "patch": patch("m"),
    }
    file = lines(tmp_path / "a.jsonl", row)
    out = tmp_path / "out"
    import_trajectories([file], out, "auto", Known(), compare)
    (sample,) = read_samples(out)
    assert brief(sample.messages) == [
        ("system", "You mend.\nWork well."),
        ("user", "Mend it."),
        ("assistant", "So:", "bash"),
        ("tool", "OBSERVATION:\nx", "call_0"),
        ("assistant", "", "submit"),
    ]
    assert json.loads(sample.messages[2].tool_calls[0].arguments) == {"command": "ls\npwd", "wait": 5}
    assert [tool["function"]["name"] for tool in sample.tools] == ["bash", "submit"]
    assert sample.tools[0]["function"]["parameters"]["required"] == ["command"]
    assert (sample.end, sample.patch) == (End.SUBMITTED, patch("m"))


# ── recognised ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "format_"),
    [
        ([{"history": [], "info": {}, "trajectory": []}], "swe-agent"),
        ([{"messages": [], "info": {}, "trajectory_format": "mini-swe-agent-1.1"}], "mini-swe-agent"),
        ([{"schema_version": "ATIF-v1.6", "steps": []}], "atif"),
        ([{"messages": [{"role": "user", "content": "x"}]}], "openai"),
        ([{"input": [{"role": "user", "content": "x"}]}], "openai"),
        ([{"messages": "[]", "rollout_patch": ""}], "sera"),
        ([{"messages": [{"role": "assistant", "content": "<tool_call>{}</tool_call>"}]}], "sera"),
        ([{"system": "S", "messages": []}], "anthropic"),
        ([{"type": "summary", "summary": "t", "leafUuid": "x"}], "claude-code"),
        ([{"id": 0, "source": "user", "action": "message", "args": {}}], "openhands"),
        ([{"conversations": [{"from": "human", "value": "x"}]}], "sharegpt"),
        ([{"a": 1}, 3, None, "x", [[]]], ""),
    ],
)
def test_a_file_is_recognised_by_its_shape(tmp_path: Path, values: list[Any], format_: str) -> None:
    assert recognise(lines(tmp_path / "a", *values)) == format_
    (tmp_path / "b").write_text(json.dumps(values[0], indent=2))
    assert recognise(tmp_path / "b") == format_


def test_files_of_several_formats_are_read_together_and_others_counted(tmp_path: Path) -> None:
    lines(
        tmp_path / "a.jsonl",
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
    )
    lines(tmp_path / "b.jsonl", {"conversations": [{"from": "gpt", "value": "z"}]})
    lines(tmp_path / "package.json", {"name": "shop", "version": "1"})
    out = tmp_path / "out"
    record = import_trajectories([tmp_path], out, "auto", Known(submitted=True), compare)
    assert (record.format, record.taken, record.refused) == ("openai, sharegpt", 2, {"wrong_shape": 1})
    assert "none of the formats" in (out / "refused.jsonl").read_text()


@pytest.mark.parametrize("origin", ["auto", *IMPORTS])
@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": 3, "value": "x"}, {"from": "gpt"}]},
        {"conversations": [{"from": "function_call", "value": "{"}]},
        {"conversations": [{"from": "function_call", "value": "[3]"}]},
        {
            "type": "assistant",
            "uuid": "a",
            "message": {"role": "assistant", "content": [{"type": "tool_use"}]},
        },
        {"type": "user", "uuid": "a", "message": {"role": "robot", "content": ""}},
        {"history": [{"source": "agent", "action": "run", "args": []}]},
        {"history": [[3]], "info": {}},
        {"kind": "ActionEvent", "source": "agent", "tool_call": {"function": 3}},
        {"kind": "ActionEvent", "source": "agent", "tool_call": {"name": 3, "arguments": 3}},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": None}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [[3]]}]}]},
        {"messages": '[{"role": "assistant"', "rollout_patch": None},
        {
            "messages": [{"role": "assistant", "content": "x"}],
            "tools": [{"function": {"name": "f", "parameters": 3}}],
        },
        {"messages": [{"role": "assistant", "content": "x"}], "tools": "{"},
        {"system": "S", "messages": [{"role": "assistant", "content": 3, "tool_calls": [3]}]},
        {"input": [{"type": "function_call", "name": None}, {"type": "reasoning", "summary": 3}]},
    ],
)
def test_a_malformed_row_is_refused_with_its_place(tmp_path: Path, origin: str, row: Json) -> None:
    whole = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    lines(tmp_path / "good.jsonl", whole)
    with pytest.raises(DatasetError, match=r"could be taken: 1 \w+; the first is bad"):
        take(lines(tmp_path / "bad.jsonl", row), origin)
