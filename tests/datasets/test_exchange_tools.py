"""What an import makes of tools that nobody defines, of reasoning under many names, and what it says is not kept."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_samples import TOOLS, patch

from sera.datasets import DatasetConfig, build_dataset
from sera.datasets.exchange.definitions import defined_in, told_tools
from sera.datasets.exchange.imported import ImportRecord, is_import, read_samples
from sera.datasets.exchange.imports import Known, import_trajectories
from sera.datasets.exchange.spans import spans
from sera.datasets.exchange.thoughts import parted, together
from sera.datasets.exchange.trajectory import Refusal
from sera.datasets.inputs import open_inputs
from sera.datasets.manifest import Manifest
from sera.datasets.sample import Sample
from sera.errors import ConfigError, DatasetError, UsageError
from sera.formats import FORMATS
from sera.formats.hermes import Hermes
from sera.formats.xml import Xml
from sera.generation.recall import compare
from sera.harness import load_profile
from sera.harness.profile import Profile
from sera.training.checks import find_profile

Json = dict[str, Any]


def take(
    folder: Path, *rows: Json, origin: str = "openai", **known: Any
) -> tuple[ImportRecord, list[Sample]]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    out = folder / "imported"
    record = import_trajectories([file], out, origin, Known(submitted=True, **known), compare)
    return record, list(read_samples(out))


def called(name: str, **given: Any) -> Json:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}


def talk(*calls: Json, prompt: str = "You mend tills.") -> list[Json]:
    found: list[Json] = [{"role": "system", "content": prompt}, {"role": "user", "content": "Mend it."}]
    for call in calls:
        found += [
            {"role": "assistant", "content": "So:", "tool_calls": [call]},
            {"role": "tool", "content": "ok"},
        ]
    return [*found, {"role": "assistant", "content": "Done."}]


def built(imported: Path, tokenizer: str, **settings: Any) -> Manifest:
    samples, sources = open_inputs([imported])
    config = DatasetConfig(tokenizer=tokenizer, min_recall=0, workers=1, **settings)
    return build_dataset(samples, imported.parent / "data", config, sources)


# ── tools ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", FORMATS)
def test_tools_that_nobody_defines_are_inferred_from_all_calls(
    tmp_path: Path, byte_tokenizer: str, style: str
) -> None:
    first = talk(called("run", command="ls", wait=3), called("run", command="pwd", wait=0.5))
    second = talk(called("run", command="id"), called("open", path=["a"], plain=True))
    record, samples = take(tmp_path, {"messages": first}, {"messages": second}, {"messages": talk()})
    run = {"command": {"type": "string"}, "wait": {"type": "number"}}
    look = {"path": {"type": "array"}, "plain": {"type": "boolean"}}
    for sample in samples:
        functions = [tool["function"] for tool in sample.tools]
        assert [function["name"] for function in functions] == ["open", "run"]
        assert functions[0]["parameters"] == {
            "type": "object",
            "properties": look,
            "required": ["path", "plain"],
        }
        assert functions[1]["parameters"] == {"type": "object", "properties": run, "required": ["command"]}
    assert (record.inferred, record.unknown["tools"]) == ({"open": 1, "run": 3}, 2)
    manifest = built(tmp_path / "imported", byte_tokenizer, format=style)
    assert (manifest.rows, manifest.untrained_turns, manifest.faults) == (3, 0, {})


def test_calls_that_tell_nothing_define_nothing(tmp_path: Path) -> None:
    broken = {"id": "c", "function": {"name": "run", "arguments": '{"command": "l'}}
    calls = called(""), called("a b"), called("x" * 200), broken
    record, (sample,) = take(tmp_path, {"messages": talk(*calls)})
    assert (sample.tools, record.inferred) == ([], {})


def test_inferred_tools_are_bounded_and_the_same_in_any_order(tmp_path: Path) -> None:
    many = [called(f"tool{n}", **{f"p{m}": m for m in range(90)}) for n in range(200)]
    _, (sample,) = take(tmp_path, {"messages": talk(*many)})
    assert len(sample.tools) == 128
    assert {len(tool["function"]["parameters"]["properties"]) for tool in sample.tools} == {64}
    few = [called("a", x=1), called("b", y=None), called("a", x="1", z=None)]
    (tmp_path / "b").mkdir()
    _, (there,) = take(tmp_path, {"messages": talk(*few)})
    _, (back,) = take(tmp_path / "b", {"messages": talk(*few[::-1])})
    assert (there.tools, there.profile) == (back.tools, back.profile)
    assert there.tools[0]["function"]["parameters"]["properties"] == {"x": {"type": ["integer", "string"]}}
    assert there.tools[1]["function"]["parameters"] == {"type": "object", "properties": {}, "required": []}


def test_a_trajectory_without_tools_has_those_of_the_others_if_they_all_tell_the_same(tmp_path: Path) -> None:
    rows = [{"messages": talk(called("bash", command="ls")), "tools": TOOLS}, {"messages": talk(called("x"))}]
    record, (first, second) = take(tmp_path, *rows)
    assert second.tools == first.tools == TOOLS
    assert (record.inferred, second.profile) == ({}, first.profile)
    record, samples = take(tmp_path, *rows, {"messages": talk(called("y")), "tools": TOOLS[:1]})
    assert [len(sample.tools) for sample in samples] == [len(TOOLS), 1, 1]
    assert (record.inferred, sorted(record.profiles.values())) == ({"x": 1}, [1, 1, 1])


def test_tools_in_another_order_or_spelling_are_the_same(tmp_path: Path, byte_tokenizer: str) -> None:
    run = told_tools(
        [{"name": "run", "parameters": {"type": "object", "properties": {"c": {"type": "string"}}}}]
    )
    run = run or []
    turned = [{"function": dict(reversed(run[0]["function"].items())), "type": "function"}]
    beside = told_tools([{"name": "look", "parameters": {"type": "object", "properties": {}}}]) or []
    sets = [[*run, *beside], [*beside, *run], [*turned, *beside]]
    rows = [{"messages": talk(called("run", c=str(n))), "tools": tools} for n, tools in enumerate(sets)]
    record, samples = take(tmp_path, *rows)
    assert (len(record.profiles), samples[1].tools, samples[2].tools) == (1, sets[0], sets[0])
    assert built(tmp_path / "imported", byte_tokenizer).rows == 3
    assert len(take(tmp_path, rows[0], {"messages": talk(called("run")), "tools": run})[0].profiles) == 2


def test_the_older_name_of_tools_is_read(tmp_path: Path) -> None:
    tools = [{"name": "run", "description": "Runs it.", "parameters": {"type": "object", "properties": {}}}]
    record, (sample,) = take(tmp_path, {"messages": talk(called("run")), "functions": tools})
    assert (record.inferred, sample.tools[0]["function"]["description"]) == ({}, "Runs it.")


@pytest.mark.parametrize("dialect", [Hermes(), Xml()])
def test_tools_in_the_words_of_our_formats_leave_the_prompt(dialect: Any) -> None:
    prompt = f"You work.\n\n{dialect.describe(TOOLS)}"
    assert defined_in(prompt) == (TOOLS, "You work.")
    tools, rest = defined_in(prompt + "\n\nAnd be brief.")
    assert rest.endswith("And be brief.")
    assert tools is None or [tool["function"]["name"] for tool in tools] == [
        "bash",
        "str_replace_editor",
        "submit",
    ]


def test_tools_in_other_words_are_read_and_the_prompt_stays_where_it_may_say_more(tmp_path: Path) -> None:
    listed = json.dumps([{"name": "run", "description": "Runs.", "parameters": {"type": "object"}}])
    prompt = f"You call functions. Here they are: <tools> {listed} </tools> Use JSON."
    _, (sample,) = take(tmp_path, {"messages": talk(called("run"), prompt=prompt)})
    assert sample.tools[0]["function"]["description"] == "Runs."
    assert sample.messages[0].content == prompt
    _, (sample,) = take(
        tmp_path, {"messages": talk(called("run"), prompt="Tags: <tools> and </tools>, no JSON.")}
    )
    assert [tool["function"]["name"] for tool in sample.tools] == ["run"]


def test_told_tools_in_four_spellings_are_one() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]
    bare = {"name": "f", "description": "d", "parameters": schema}
    spellings = [
        wanted[0],
        bare,
        {"type": "function", **bare, "strict": None},
        {"name": "f", "description": "d", "input_schema": schema},
    ]
    for one in spellings:
        assert told_tools([one]) == told_tools(json.dumps([one])) == told_tools(one) == wanted
    assert told_tools([{"name": "f", "parameters": {"properties": None}}]) == [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}
    ]
    assert told_tools("") is told_tools([]) is told_tools(None) is None
    for broken in ("{", "3", [3], [{"type": "web_search"}], [{"name": "f", "parameters": {"required": "a"}}]):
        with pytest.raises(Refusal):
            told_tools(broken)


# ── the harness ───────────────────────────────────────────────────────────────────────────────────


def test_an_import_has_the_harness_that_training_asks_for(tmp_path: Path, byte_tokenizer: str) -> None:
    take(tmp_path, {"messages": talk(called("run", command="ls"))})
    imported = tmp_path / "imported"
    manifest = built(imported, byte_tokenizer)
    for given in (imported, imported / "harness.json"):
        profile = find_profile(manifest.profile, given)
        assert [tool["function"]["name"] for tool in profile.tools] == ["run"]
    assert is_import(imported)
    with pytest.raises(ConfigError, match=r"has no words for 'task': that of imported trajectories"):
        profile.prompt("task", workdir="/x", request="y")
    with pytest.raises(ConfigError, match="has no words for 'no_call'"):
        profile.say("no_call")


def test_a_named_harness_is_saved_whole(tmp_path: Path) -> None:
    profile = load_profile()
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"messages": talk(called("bash", command="ls"))}))
    known = Known(submitted=True, tools=tuple(profile.tools), profile=profile.hash)
    import_trajectories([file], tmp_path / "out", "openai", known, compare, profile)
    assert msgspec.json.decode((tmp_path / "out" / "harness.json").read_bytes(), type=Profile) == profile


# ── reasoning ─────────────────────────────────────────────────────────────────────────────────────

THOUGHT = "The sign is wrong, I think."


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": THOUGHT},
        {"reasoning": THOUGHT},
        {"reasoning": {"content": THOUGHT}},
        {"thinking": THOUGHT},
        {"thinking_blocks": [{"type": "thinking", "thinking": THOUGHT, "signature": "s"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": THOUGHT, "format": "x", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT}]},
        {"reasoning": THOUGHT, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]},
        {"thought": THOUGHT},
        {"thoughts": THOUGHT},
        {"reasoning_text": THOUGHT},
        {"provider_specific_fields": {"reasoning_content": THOUGHT}},
        {"extra": {"reasoning": THOUGHT}},
        {"extra": {"response": {"choices": [{"message": {"content": "x", "reasoning_content": THOUGHT}}]}}},
        {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "Done."}]},
        {"content": [{"type": "reasoning", "text": THOUGHT}, {"type": "text", "text": "Done."}]},
        {"content": f"<think>\n{THOUGHT}\n</think>\n\nDone."},
        {"content": f"{THOUGHT}\n</think>\n\nDone."},
        {"content": f"Done.\n<think>\n{THOUGHT}\n</think>\n"},
        {"reasoning_content": THOUGHT, "content": f"<think>{THOUGHT}</think>Done."},
    ],
)
def test_reasoning_is_read_under_all_its_names(tmp_path: Path, fields: Json) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Done.", **fields}]
    record, (sample,) = take(tmp_path, {"messages": messages})
    assert (sample.messages[2].reasoning.strip(), sample.messages[2].content) == (THOUGHT, "Done.")
    assert record.lost == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "eHg="}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "eHg="}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "eHg="}]},
        {"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Done."}]},
    ],
)
def test_reasoning_that_cannot_be_read_is_counted(tmp_path: Path, fields: Json) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Done.", **fields}]
    record, (sample,) = take(tmp_path, {"messages": messages})
    assert (sample.messages[2].reasoning, record.lost) == ("", {"encrypted reasoning": 1})


def test_a_reading_of_the_text_is_no_thought_beside_it(tmp_path: Path) -> None:
    fields = {"thought": "First.\n", "action": "ls"}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "First.\n```\nls\n```"} | fields,
    ]
    record, (sample,) = take(tmp_path, {"messages": messages})
    assert (sample.messages[2].reasoning, record.lost) == ("", {})


def test_different_thoughts_of_one_answer_are_all_kept() -> None:
    assert together(["a", "", "bb", "a"]) == "a\n\nbb"
    assert together(["in", "begin"]) == "in\n\nbegin"
    assert together(["It was the sign of it.", "First. It was  the sign\nof it. Then."]).startswith("First.")
    assert parted("<think>a</think>\nx\n<think>\nb\n</think>\ny") == ("a\n\nb", "x\n\ny")
    call = "<function=w>\n<parameter=text>\n<think>\nx\n</think>\n</parameter>\n</function>"
    assert parted(call) == ("", call)
    assert list(spans("<a><a><a>", "<a>", "</a>")) == []


def test_items_of_the_responses_api_become_messages(tmp_path: Path) -> None:
    items: list[Json] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Mend it."}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Look first."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So:"}]},
        {"type": "function_call", "call_id": "c", "name": "run", "arguments": '{"command": "ls"}'},
        {"type": "function_call_output", "call_id": "c", "output": "till.py"},
        {"type": "web_search_call", "id": "w"},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "eHg="},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
    ]
    row = {"input": items[:5], "output": items[5:], "instructions": "You work."}
    record, (sample,) = take(tmp_path, row, origin="auto")
    assert [(one.role, one.content, one.reasoning) for one in sample.messages] == [
        ("system", "You work.", ""),
        ("user", "Mend it.", ""),
        ("assistant", "So:", "Look first."),
        ("tool", "till.py", ""),
        ("assistant", "Done.", ""),
    ]
    assert sample.messages[2].tool_calls[0].arguments == '{"command": "ls"}'
    assert record.lost == {"encrypted reasoning": 1, "item web_search_call": 1}


def test_fields_that_nothing_reads_are_counted_by_name_and_not_without_end(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "audio": {"id": 1}}]
    record, _ = take(tmp_path, {"messages": messages})
    assert record.lost == {"field audio": 1}
    flood = {f"field{n}" + "x" * 500: 1 for n in range(5000)}
    record, _ = take(tmp_path, {"messages": [messages[0], {"role": "assistant", "content": "y", **flood}]})
    assert len(record.lost) <= 42
    assert sum(record.lost.values()) == 5000
    assert max(map(len, record.lost)) < 80


def test_the_answers_of_calls_made_at_once_stand_in_their_order(tmp_path: Path) -> None:
    calls = [{**called("run", n=n), "id": f"c{n}"} for n in range(3)]
    answers = [{"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in (2, 0, 1)]
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        *answers,
    ]
    _, (sample,) = take(tmp_path, {"messages": messages})
    assert [message.content for message in sample.messages[3:]] == ["0", "1", "2"]


def test_the_headline_rows_build_with_the_default_format(tmp_path: Path, byte_tokenizer: str) -> None:
    functions = "\n".join(json.dumps(tool) for tool in TOOLS)
    prompt = (
        f"You mend.\n\n# Tools\n\nYou may call functions.\n\n<tools>\n{functions}\n</tools>\n\n"
        'For each call:\n<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>'
    )
    said = '<think>\nHm.\n</think>\n\nSo:\n<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
    messages = [
        {"role": "system", "content": prompt},
        {"role": "user", "content": "Mend it."},
        {"role": "assistant", "content": said},
        {"role": "user", "content": "<tool_response>\nx\n</tool_response>"},
        {"role": "assistant", "content": '<tool_call>\n{"name": "submit", "arguments": {}}\n</tool_call>'},
    ]
    row = {
        "instance_id": "i",
        "messages": json.dumps(messages),
        "rollout_patch": patch("m"),
        "target_patch": patch("m"),
    }
    record, (sample,) = take(tmp_path, row, origin="auto")
    assert (record.format, sample.tools, sample.messages[0].content) == ("sera", TOOLS, "You mend.")
    assert built(tmp_path / "imported", byte_tokenizer).untrained_turns == 0
    (data,) = (tmp_path / "data" / "train.jsonl").read_text().splitlines()
    assert json.loads(data)["messages"][0]["content"] == f"You mend.\n\n{Hermes().describe(TOOLS)}"


def test_nulls_that_a_table_library_filled_in_leave_the_arguments(
    tmp_path: Path, byte_tokenizer: str
) -> None:
    filled = {"command": "ls", "path": None, "view_range": None}
    calls = [
        {"id": "a", "function": {"name": "bash", "arguments": filled}},
        {"id": "b", "function": {"name": "submit", "arguments": dict.fromkeys(filled)}},
    ]
    record, (sample,) = take(tmp_path, {"messages": talk(*calls), "tools": TOOLS})
    assert [call.arguments for message in sample.messages for call in message.tool_calls] == [
        '{"command":"ls"}',
        "{}",
    ]
    assert record.lost == {"null argument": 5}
    assert built(tmp_path / "imported", byte_tokenizer).untrained_turns == 0


def test_calls_in_the_older_form_are_not_dropped_but_refused(tmp_path: Path) -> None:
    older = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "run", "arguments": "{}"}},
    ]
    record, _ = take(tmp_path, {"messages": talk()}, {"messages": older})
    assert record.refused == {"wrong_shape": 1}


def test_sets_of_tools_are_told_and_bounded(tmp_path: Path, byte_tokenizer: str) -> None:
    rows = [
        {"messages": talk(called(f"t{n}")), "tools": [{"name": f"t{n}"}], "id": str(n)} for n in range(1200)
    ]
    record, _ = take(tmp_path, *rows)
    assert (record.taken, len(record.profiles)) == (1200, 1000)
    with pytest.raises(DatasetError, match="the same tools with --tools"):
        built(tmp_path / "imported", byte_tokenizer)


def test_documents_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"messages": [{"role": "user", "content": "x" * 900}, {"role": "assistant", "content": "y"}]}
    monkeypatch.setattr("sera.datasets.exchange.lines.MOST", 500)
    record, _ = take(tmp_path, long, {"messages": talk()[-1:]})
    assert (record.taken, record.refused) == (1, {"unreadable": 1})
    (refused,) = map(json.loads, (tmp_path / "imported" / "refused.jsonl").read_text().splitlines())
    assert (refused["line"], refused["detail"]) == (1, "it has more than 500 bytes")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"[" * 900 + b"]" * 900, "wrong_shape"),
        (b"[" * 200_000, "unreadable"),
        ('{"messages": []}'.encode("utf-16"), "unreadable"),
        (b"\x1f\x8b\x08\x00", "unreadable"),
        (b"", "unreadable"),
        (b'{"a": NaN}', "unreadable"),
    ],
)
def test_a_file_of_no_format_is_named_with_the_reason(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "odd.jsonl").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"1 {what}; the first is odd\.jsonl: it "):
        import_trajectories([tmp_path / "odd.jsonl"], tmp_path / "out", "auto", Known(), compare)


def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match="no file that can be read twice"):
        import_trajectories([tmp_path / "pipe.jsonl"], tmp_path / "out", "auto", Known(), compare)


@pytest.mark.parametrize("origin", ["openai", "sera", "sharegpt", "anthropic"])
def test_columns_of_tables_hold_nulls_and_numbers(tmp_path: Path, origin: str) -> None:
    columns = ("instance_id", "model_patch", "exit_status", "stage", "repository", "commit", "model")
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    row = {**dict.fromkeys(columns), "id": 7, "conversations" if origin == "sharegpt" else "messages": said}
    if origin == "sera":
        row |= dict.fromkeys(("rollout_patch", "func_name", "problem_statement", "source", "docker_image"))
    record, samples = take(tmp_path, row, row | {"id": 8}, origin=origin)
    assert [(one.patch, one.source.repository, one.teacher) for one in samples] == [("", "unknown", {})] * 2
    assert (record.taken, len({one.task for one in samples})) == (2, 2)


def test_answers_that_say_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    messages = [*talk(), {"role": "user", "content": "And?"}, {"role": "assistant", "content": " "}]
    record, (sample,) = take(tmp_path, {"messages": messages})
    assert (sample.messages[-1].content, record.lost) == ("And?", {"empty answer": 1})


def test_the_text_of_a_custom_tool_is_its_argument(tmp_path: Path) -> None:
    items: list[Json] = [
        {"role": "user", "content": "Mend it."},
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
    ]
    _, (sample,) = take(tmp_path, {"input": items})
    assert sample.messages[2].tool_calls[0].arguments == '{"input": "*** Begin"}'
    assert sample.tools[0]["function"]["parameters"]["required"] == ["input"]
