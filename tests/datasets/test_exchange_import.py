"""Foreign trajectories: each format in its own shape, what is unknown, and what is refused and why."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_samples import TOOLS, patch

from sera.datasets import DatasetConfig, Sample, build_dataset
from sera.datasets.exchange.ends import end_of
from sera.datasets.exchange.imported import ImportRecord, read_import, read_samples
from sera.datasets.exchange.imports import IMPORTS, Known, import_trajectories
from sera.datasets.inputs import open_inputs
from sera.errors import ConfigError, DatasetError, RunError, UsageError
from sera.generation.recall import compare
from sera.records import End, Message, Stage, ToolCall

MINI = Path(__file__).parent / "exchange_files"
"""Written by mini-swe-agent 2.4.6 itself, from commands of ours and a model that says them."""
DIFF = patch("m0")


def run(files: list[Path], out: Path, origin: str, **known: Any) -> tuple[ImportRecord, list[Sample]]:
    record = import_trajectories(files, out, origin, Known(**known), compare)
    assert record == read_import(out)
    return record, list(read_samples(out))


def refusals(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "refused.jsonl").read_text().splitlines()]


def tool_call(identity: str, command: str) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "function",
        "function": {"name": "bash", "arguments": json.dumps({"command": command})},
    }


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "You work."},
    {"role": "user", "content": "Mend it."},
    {"role": "assistant", "content": "So:", "reasoning_content": "Hm.", "tool_calls": [tool_call("a", "ls")]},
    {"role": "tool", "content": "x.py", "tool_call_id": "a"},
    {"role": "assistant", "content": "Done."},
]
READ = (
    Message(role="system", content="You work."),
    Message(role="user", content="Mend it."),
    Message(
        role="assistant",
        content="So:",
        reasoning="Hm.",
        tool_calls=(ToolCall(id="a", name="bash", arguments='{"command": "ls"}'),),
    ),
    Message(role="tool", content="x.py", tool_call_id="a"),
    Message(role="assistant", content="Done."),
)


def lines(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


# ── mini-swe-agent ────────────────────────────────────────────────────────────────────────────────


def test_mini_with_function_calling(tmp_path: Path) -> None:
    record, (sample,) = run([MINI / "till-calls.traj.json"], tmp_path / "out", "mini-swe-agent")
    assert [message.role for message in sample.messages] == [
        "system",
        "user",
        *["assistant", "tool"] * 2,
        "assistant",
    ]
    assert sample.messages[2].tool_calls == (
        ToolCall(id="call_0", name="bash", arguments='{"command": "cat shop.py"}'),
    )
    assert sample.messages[3].tool_call_id == "call_0"
    assert sample.messages[4].content == ""
    assert sample.end is End.SUBMITTED
    assert "+    return sum(prices)\n" in sample.patch
    assert sample.teacher == {"model": "deterministic_toolcall"}
    assert sample.unknown == ("recall", "tools")
    assert record.unknown == {"recall": 1, "tools": 1}


def test_mini_with_text(tmp_path: Path) -> None:
    _, (sample,) = run([MINI / "till-text.traj.json"], tmp_path / "out", "mini-swe-agent")
    assert [message.role for message in sample.messages] == [
        "system",
        "user",
        *["assistant", "user"] * 2,
        "assistant",
    ]
    assert (
        sample.messages[2].content
        == "I look at the function first.\n\n```mswea_bash_command\ncat shop.py\n```"
    )
    assert all(not message.tool_calls for message in sample.messages)
    assert sample.unknown == ("recall",)


def test_mini_of_version_1_ends_with_the_patch_as_a_user_message(tmp_path: Path) -> None:
    talk = [
        {"role": role, "content": text}
        for role, text in (("system", "S"), ("user", "U"), ("assistant", "```bash\nx\n```"), ("user", DIFF))
    ]
    traj: dict[str, Any] = {
        "info": {"exit_status": "Submitted", "submission": DIFF, "model_stats": {}},
        "messages": talk,
        "trajectory_format": "mini-swe-agent-1",
    }
    file = tmp_path / "shop-1.traj.json"
    file.write_text(json.dumps(traj))
    _, (sample,) = run([file], tmp_path / "out", "mini-swe-agent")
    assert [message.role for message in sample.messages] == ["system", "user", "assistant"]
    assert (sample.patch, sample.end) == (DIFF, End.SUBMITTED)


def test_mini_in_the_form_of_the_responses_api_is_refused(tmp_path: Path) -> None:
    shutil.copy(MINI / "till-text.traj.json", tmp_path)
    traj: dict[str, Any] = {
        "info": {},
        "messages": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "trajectory_format": "mini-swe-agent-1.1",
    }
    (tmp_path / "b.traj.json").write_text(json.dumps(traj))
    (tmp_path / "c.traj.json").write_text(json.dumps(traj | {"trajectory_format": "other"}))
    record, _ = run([tmp_path], tmp_path / "out", "mini-swe-agent")
    assert record.refused == {"wrong_shape": 2}
    assert ["Responses API" in one["detail"] for one in refusals(tmp_path / "out")] == [True, False]


# ── SWE-agent ─────────────────────────────────────────────────────────────────────────────────────


def history() -> list[dict[str, Any]]:
    """A history as SWE-agent 1 writes it with function calling."""
    note = {"agent": "main"}
    return [
        {"role": "system", "content": "You work.", "message_type": "system_prompt", **note},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Mend it."}],
            "message_type": "observation",
            **note,
        },
        {
            "role": "assistant",
            "content": "<think>Hm.</think>\nSo:",
            "thought": "So:",
            "action": "ls",
            "tool_calls": [{**tool_call("a", "ls"), "index": 0}],
            "message_type": "action",
            **note,
        },
        {
            "role": "tool",
            "content": [{"type": "text", "text": "x.py", "cache_control": {"type": "ephemeral"}}],
            "tool_call_ids": ["a"],
            "message_type": "observation",
            **note,
        },
        {"role": "assistant", "content": "Done.", "message_type": "action", "tool_calls": None, **note},
    ]


def swe_traj(**changes: Any) -> dict[str, Any]:
    config = {
        "agent": {"model": {"name": "glm"}},
        "env": {
            "repo": {"type": "github", "github_url": "https://x.invalid/shop/till", "base_commit": "c0ffee"}
        },
    }
    return {
        "environment": "main",
        "trajectory": [{"action": "ls", "observation": "x.py", "query": []}],
        "history": history(),
        "info": {"exit_status": "submitted", "submission": DIFF, "model_stats": {"api_calls": 2}},
        "replay_config": json.dumps(config),
        **changes,
    }


def test_swe_agent(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "till-1"
    folder.mkdir(parents=True)
    (folder / "till-1.traj").write_text(json.dumps(swe_traj()))
    record, (sample,) = run([tmp_path / "runs"], tmp_path / "out", "swe-agent")
    assert sample.messages == READ
    assert (sample.patch, sample.end, sample.teacher) == (DIFF, End.SUBMITTED, {"model": "glm"})
    assert (sample.source.repository, sample.source.commit) == ("https://x.invalid/shop/till", "c0ffee")
    assert list(record.files) == ["runs/till-1/till-1.traj"]


def test_swe_agent_without_anything_that_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "a.traj"
    file.write_text(json.dumps({"history": history(), "info": {"exit_status": None}}))
    _, (sample,) = run([file], tmp_path / "out", "swe-agent")
    assert (sample.end, sample.patch, sample.source.repository) == (End.FAILED, "", "unknown")


def test_swe_agent_with_a_demonstration_is_refused(tmp_path: Path) -> None:
    shown = [*history()[:1], {"role": "assistant", "content": "x", "is_demo": True}, *history()[1:]]
    (tmp_path / "a.traj").write_text(json.dumps(swe_traj(history=shown)))
    with pytest.raises(DatasetError, match=r"1 demonstration; the first is a\.traj: the history holds turns"):
        run([tmp_path / "a.traj"], tmp_path / "out", "swe-agent")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("submitted", End.SUBMITTED),
        ("Submitted", End.SUBMITTED),
        ("submitted (exit_cost)", End.STEP_LIMIT),
        ("submitted (exit_context)", End.CONTEXT),
        ("LimitsExceeded", End.STEP_LIMIT),
        ("TimeExceeded", End.WALL_CLOCK),
        ("exit_format", End.MALFORMED),
        ("exit_error", End.FAILED),
        ("", End.FAILED),
    ],
)
def test_the_ends_of_others(status: str, end: End) -> None:
    assert end_of(status) is end


# ── ATIF ──────────────────────────────────────────────────────────────────────────────────────────


def atif(**changes: Any) -> dict[str, Any]:
    call = {"tool_call_id": "a", "function_name": "bash", "arguments": {"command": "ls"}}
    return {
        "schema_version": "ATIF-v1.4",
        "session_id": "S1",
        "agent": {"name": "terminus", "version": "2", "model_name": "glm", "tool_definitions": TOOLS},
        "steps": [
            {"step_id": 1, "source": "system", "message": "You work."},
            {"step_id": 2, "source": "user", "message": "Mend it."},
            {
                "step_id": 3,
                "source": "agent",
                "message": "So:",
                "reasoning_content": "Hm.",
                "tool_calls": [call],
                "observation": {"results": [{"source_call_id": "a", "content": "x.py"}]},
                "metrics": {"prompt_tokens": 3},
            },
            {"step_id": 4, "source": "agent", "message": [{"type": "text", "text": "Done."}]},
        ],
        **changes,
    }


def test_atif(tmp_path: Path) -> None:
    (tmp_path / "trajectory.json").write_text(
        json.dumps(atif()).replace('{"command": "ls"}', '{"command":  "ls"}')
    )
    _, (sample,) = run(
        [tmp_path / "trajectory.json"], tmp_path / "out", "atif", submitted=True, patches={"S1": DIFF}
    )
    spelt = msgspec.structs.replace(READ[2].tool_calls[0], arguments='{"command":  "ls"}')
    assert sample.messages == (*READ[:2], msgspec.structs.replace(READ[2], tool_calls=(spelt,)), *READ[3:])
    assert (sample.patch, sample.tools, sample.unknown) == (DIFF, TOOLS, ("recall",))


def test_atif_of_an_agent_of_text(tmp_path: Path) -> None:
    steps = [
        {"step_id": 1, "source": "user", "message": "Mend it."},
        {"step_id": 2, "source": "agent", "message": "ls", "observation": {"results": [{"content": "x.py"}]}},
        {"step_id": 3, "source": "agent", "message": "Done."},
    ]
    (tmp_path / "t.json").write_text(json.dumps(atif(steps=steps)))
    _, (sample,) = run([tmp_path / "t.json"], tmp_path / "out", "atif", submitted=True)
    assert [(m.role, m.content) for m in sample.messages] == [
        ("system", ""),
        ("user", "Mend it."),
        ("assistant", "ls"),
        ("user", "x.py"),
        ("assistant", "Done."),
    ]
    assert sample.unknown == ("patch", "recall")


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"source": "agent", "message": "x", "llm_call_count": 0}, "not_the_model"),
        ({"source": "agent", "message": "x", "is_copied_context": True}, "not_the_model"),
        (
            {
                "source": "agent",
                "message": "x",
                "observation": {"results": [{"subagent_trajectory_ref": [{"session_id": "T"}]}]},
            },
            "not_the_model",
        ),
        ({"source": "robot", "message": "x"}, "unknown_role"),
        (
            {
                "source": "agent",
                "message": "x",
                "tool_calls": [{"tool_call_id": "b", "function_name": "f", "arguments": {}}],
            },
            "unpaired",
        ),
        (
            {"source": "agent", "message": "x", "observation": {"results": [{"source_call_id": "z"}]}},
            "unpaired",
        ),
        ({"source": "agent"}, "wrong_shape"),
    ],
)
def test_atif_steps_that_cannot_be_trained_on(tmp_path: Path, step: dict[str, Any], reason: str) -> None:
    whole = atif()
    (tmp_path / "bad.json").write_text(
        json.dumps({**whole, "steps": [*whole["steps"][:3], step, *whole["steps"][3:]]})
    )
    (tmp_path / "good.json").write_text(json.dumps(whole))
    record, _ = run([tmp_path], tmp_path / "out", "atif", submitted=True)
    assert (record.taken, record.refused) == (1, {reason: 1})


# ── messages in OpenAI's form ─────────────────────────────────────────────────────────────────────


def test_openai(tmp_path: Path) -> None:
    row = {"messages": TALK, "tools": TOOLS, "parallel_tool_calls": False}
    record, (sample,) = run(
        [lines(tmp_path / "a.jsonl", row)], tmp_path / "out", "openai", submitted=True, repository="a/b"
    )
    assert sample.messages == READ
    assert (sample.tools, sample.patch, sample.agreement) == (TOOLS, "", None)
    assert sample.unknown == ("patch", "recall", "model")
    assert sample.source.repository == "a/b"
    assert record.unknown == {"model": 1, "patch": 1, "recall": 1}


def test_an_unknown_end_is_said_by_the_caller_or_not_taken(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "a.jsonl", {"messages": TALK}, {"messages": TALK, "exit_status": "exit_cost", "id": "x"}
    )
    record, (sample,) = run([file], tmp_path / "out", "openai")
    assert record.refused == {"unknown_end": 1}
    assert sample.end is End.STEP_LIMIT
    with pytest.raises(DatasetError, match="--submitted takes those that do not tell"):
        run([lines(tmp_path / "b.jsonl", {"messages": TALK})], tmp_path / "b", "openai")


def test_what_a_line_says_of_itself_is_taken(tmp_path: Path) -> None:
    row = {
        "messages": TALK,
        "instance_id": "t-1",
        "model_patch": DIFF,
        "stage": "t1",
        "model": "glm",
        "tools": json.dumps(TOOLS),
    }
    _, (sample,) = run([lines(tmp_path / "a.jsonl", row)], tmp_path / "out", "openai", submitted=True)
    assert (sample.patch, sample.stage, sample.teacher, sample.tools) == (
        DIFF,
        Stage.T1,
        {"model": "glm"},
        TOOLS,
    )


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        ([{"role": "function", "content": "x"}], "unknown_role"),
        ([{"role": "user", "content": "x"}], "no_answer"),
        ([TALK[1], TALK[3]], "unpaired"),
        ([*TALK[:3], TALK[4]], "unpaired"),
        ([{"role": "assistant", "content": "x", "tool_calls": ["ls"]}], "wrong_shape"),
        ([{"content": "x"}], "wrong_shape"),
        ("hello", "wrong_shape"),
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path: Path, talk: Any, reason: str) -> None:
    file = lines(tmp_path / "a.jsonl", {"messages": TALK}, {"messages": talk})
    record, _ = run([file], tmp_path / "out", "openai", submitted=True)
    assert record.refused == {reason: 1}


def test_what_is_no_text_is_named_in_its_place_and_never_in_what_is_trained(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "See "}, image]},
        {"role": "assistant", "content": [image, {"type": "text", "text": "A cat."}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
    ]
    record, (sample,) = run(
        [lines(tmp_path / "a.jsonl", {"messages": talk})], tmp_path / "out", "openai", submitted=True
    )
    assert [message.content for message in sample.messages] == ["", "See [image]", "A cat.", "[input_audio]"]
    assert record.lost == {"image_url": 2, "input_audio": 1}


def test_a_torn_file_costs_the_torn_line_only(tmp_path: Path) -> None:
    whole = json.dumps({"messages": TALK, "id": "a"}).encode()
    (tmp_path / "a.jsonl").write_bytes(
        whole + b"\n\n" + whole.replace(b'"a"', b'"b"') + b"\n\xff\xfe\n" + whole[:50]
    )
    record, samples = run([tmp_path / "a.jsonl"], tmp_path / "out", "openai", submitted=True)
    assert (record.taken, record.refused) == (2, {"unreadable": 2})
    assert [(one["file"], one["line"]) for one in refusals(tmp_path / "out")] == [
        ("a.jsonl", 4),
        ("a.jsonl", 5),
    ]
    assert [sample.index for sample in samples] == [0, 1]


def test_the_same_trajectory_is_taken_once(tmp_path: Path) -> None:
    rows = [{"messages": TALK, "id": "a"}, {"messages": TALK, "id": "a"}, {"messages": TALK, "id": "b"}]
    record, samples = run([lines(tmp_path / "a.jsonl", *rows)], tmp_path / "out", "openai", submitted=True)
    assert record.refused == {"repeated": 1}
    assert len({sample.id for sample in samples}) == len(samples) == 2


# ── SERA's rows ───────────────────────────────────────────────────────────────────────────────────


def sera_row(stage: str, **changes: Any) -> dict[str, Any]:
    """A row as the authors publish it: messages as text, the patches of both rollouts."""
    talk = [
        *history()[:4],
        {
            "role": "assistant",
            "content": "Done.",
            "tool_calls": [{"function": {"name": "submit", "arguments": "{}"}, "id": "s"}],
            "agent": "main",
        },
    ]
    return {
        "messages": json.dumps(talk),
        "instance_id": "till__1",
        "rollout_patch": patch("m0", 4) if stage == "T1" else patch("m0", 3),
        "target_patch": "" if stage == "T1" else patch("m0", 4),
        "func_name": "Cart.add",
        "func_path": "shop/cart.py",
        "problem_statement": "The cart forgets.",
        "docker_image": "swe/till:1",
        "source": f"Sera-4.6-Lite-{stage}",
        **changes,
    }


def test_sera_s_rows_have_a_recall_that_is_computed(tmp_path: Path) -> None:
    _, (first, second) = run(
        [lines(tmp_path / "a.jsonl", sera_row("T1"), sera_row("T2"))], tmp_path / "out", "sera"
    )
    assert (first.stage, second.stage) == (Stage.T1, Stage.T2)
    assert (first.task, first.index) == (second.task, second.index)
    assert first.agreement == second.agreement
    assert first.unknown == second.unknown
    assert second.agreement == compare(patch("m0", 4), patch("m0", 3))
    assert second.agreement.recall == 3 / 4
    assert second.messages[:3] == READ[:3]
    assert (second.function, second.path, second.issue) == ("Cart.add", "shop/cart.py", "The cart forgets.")
    assert second.source.repository == "swe/till:1"
    assert second.end is End.SUBMITTED
    assert second.unknown == ("tools", "model")


def test_sera_s_stage_is_told_by_the_set_or_by_the_patches(tmp_path: Path) -> None:
    rows = [
        sera_row("T1", source=""),
        sera_row("T2", source=""),
        sera_row("T2", source="", target_patch=None),
    ]
    _, samples = run([lines(tmp_path / "a.jsonl", *rows)], tmp_path / "out", "sera", stage=Stage.T1)
    assert [sample.stage for sample in samples] == [Stage.T1, Stage.T2, Stage.T1]


def test_sera_s_rows_that_were_not_handed_in_need_a_word(tmp_path: Path) -> None:
    row = sera_row("T2", messages=TALK)
    with pytest.raises(DatasetError, match="1 unknown_end"):
        run([lines(tmp_path / "a.jsonl", row)], tmp_path / "out", "sera")


HERMES = '<think>\nHm.\n</think>\n\nSo:\n\n<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
XML = "<think>\nHm.\n</think>\n\nSo:\n\n<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"


@pytest.mark.parametrize("call", [HERMES, XML])
def test_sera_s_rows_with_calls_in_the_text(tmp_path: Path, call: str) -> None:
    talk = [
        {"role": "system", "content": "You work.", "train": False},
        {"role": "user", "content": "Mend it.", "train": False},
        {"role": "assistant", "content": call, "train": True},
        {"role": "user", "content": "<tool_response>\nx.py\n</tool_response>", "train": False},
        {"role": "assistant", "content": "Done.", "train": True},
    ]
    _, (sample,) = run(
        [lines(tmp_path / "a.jsonl", sera_row("T2", messages=talk))], tmp_path / "out", "sera", submitted=True
    )
    called = msgspec.structs.replace(READ[2].tool_calls[0], id="call_0")
    assert sample.messages == (
        *READ[:2],
        msgspec.structs.replace(READ[2], tool_calls=(called,)),
        msgspec.structs.replace(READ[3], tool_call_id="call_0"),
        READ[4],
    )


def test_a_call_that_does_not_parse_stays_text(tmp_path: Path) -> None:
    talk = [
        {"role": "system", "content": "You work."},
        {"role": "assistant", "content": "So:\n<tool_call>\n{bad\n</tool_call>"},
        {"role": "user", "content": "<tool_response>\nno\n</tool_response>"},
        {"role": "assistant", "content": HERMES, "train": False},
        {"role": "user", "content": "<tool_response>\nyes\n</tool_response>"},
        {"role": "assistant", "content": '<tool_call>\n{"name": "submit", "arguments": {}}\n</tool_call>'},
    ]
    _, (sample,) = run([lines(tmp_path / "a.jsonl", sera_row("T2", messages=talk))], tmp_path / "out", "sera")
    assert [(message.role, len(message.tool_calls)) for message in sample.messages] == [
        ("system", 0),
        ("assistant", 0),
        ("user", 0),
        ("assistant", 0),
        ("user", 0),
        ("assistant", 1),
    ]
    assert "{bad" in sample.messages[1].content


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


def test_an_imported_run_is_built_like_one_of_ours(tmp_path: Path, byte_tokenizer: str) -> None:
    rows = [
        sera_row("T1"),
        sera_row("T2"),
        sera_row("T2", instance_id="till__2", rollout_patch=patch("other")),
    ]
    run([lines(tmp_path / "a.jsonl", *rows)], tmp_path / "imported", "sera", tools=tuple(TOOLS))
    samples, sources = open_inputs([tmp_path / "imported"])
    config = DatasetConfig(tokenizer=byte_tokenizer, min_recall=0.5, workers=1)
    manifest = build_dataset(samples, tmp_path / "data", config, sources)
    assert manifest.counts["t2"].selected == 1
    assert manifest.counts["t2"].rejected == {"low_recall": 1}
    row = json.loads((tmp_path / "data" / "train.jsonl").read_text())
    assert (row["recall"], row["repository"], row["function"]) == (0.75, "swe/till:1", "Cart.add")
    assert all(turn["train"] for turn in row["messages"] if turn["role"] == "assistant")


def test_an_unknown_patch_is_not_an_empty_one(tmp_path: Path, byte_tokenizer: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(atif()))
    run([tmp_path / "t.json"], tmp_path / "imported", "atif", submitted=True)
    samples, sources = open_inputs([tmp_path / "imported"])
    config = DatasetConfig(tokenizer=byte_tokenizer, min_recall=0, workers=1)
    assert build_dataset(samples, tmp_path / "data", config, sources).rows == 1


def test_equal_files_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    for place in ("a", "b/c"):
        (tmp_path / place / "runs").mkdir(parents=True)
        shutil.copy(MINI / "till-calls.traj.json", tmp_path / place / "runs")
        run([tmp_path / place / "runs"], tmp_path / place / "out", "mini-swe-agent")
    for name in ("import.json", "samples.jsonl", "refused.jsonl"):
        data = (tmp_path / "a" / "out" / name).read_bytes()
        assert data == (tmp_path / "b" / "c" / "out" / name).read_bytes()
        assert str(tmp_path).encode() not in data


def test_a_profile_says_which_trajectories_go_together(tmp_path: Path) -> None:
    rows = [{"messages": TALK, "tools": TOOLS, "id": "a"}, {"messages": TALK, "tools": TOOLS[:1], "id": "b"}]
    _, (first, second) = run([lines(tmp_path / "a.jsonl", *rows)], tmp_path / "out", "openai", submitted=True)
    assert first.profile != second.profile
    _, both = run(
        [tmp_path / "a.jsonl"], tmp_path / "out", "openai", submitted=True, tools=tuple(TOOLS), profile="p"
    )
    assert {sample.profile for sample in both} == {"p"}


def test_nothing_to_read_and_nowhere_to_write(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {"messages": TALK})
    with pytest.raises(ConfigError, match=", ".join(IMPORTS)):
        run([file], tmp_path / "out", "alpaca")
    with pytest.raises(UsageError, match=r"no file named \*\.traj in"):
        run([tmp_path], tmp_path / "out", "swe-agent")
    with pytest.raises(UsageError, match="cannot be read"):
        run([tmp_path / "gone.jsonl"], tmp_path / "out", "openai")
    with pytest.raises(UsageError, match="two files are named"):
        run([file, file], tmp_path / "out", "openai")
    with pytest.raises(DatasetError, match="choose another folder"):
        run([file], tmp_path, "openai", submitted=True)
    with pytest.raises(DatasetError, match="there is no trajectory in them"):
        run([lines(tmp_path / "b.jsonl")], tmp_path / "out", "openai")
    with pytest.raises(RunError, match="is no run"):
        open_inputs([tmp_path])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize("origin", IMPORTS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\x00",
        b"[" * 200_000,
        b'{"messages": [{"role": "\\ud800"}]}',
        b'{"messages": {}}',
        b'{"steps": [], "messages": [], "history": [], "info": {}}',
    ],
)
def test_any_other_file_is_refused_and_nothing_worse(tmp_path: Path, origin: str, data: bytes) -> None:
    file = tmp_path / f"a{IMPORTS[origin].suffixes[0]}"
    file.write_bytes(data)
    with pytest.raises(DatasetError, match="could be taken"):
        run([file], tmp_path / "out", origin, submitted=True)
