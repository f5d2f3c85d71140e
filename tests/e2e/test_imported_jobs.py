"""Files of other agents, as they lie on disks, to a dataset in the default format and to a student."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_samples import patch
from training_support import SHAPE, write_tokenizer
from user_shell import Sera

Json = dict[str, Any]
END = {"exit_status": "submitted", "model_patch": patch("till")}
TALK: list[Json] = [
    {"role": "system", "content": "You mend tills."},
    {"role": "user", "content": "The sum is wrong."},
    {
        "role": "assistant",
        "content": "I look.",
        "thinking": "Where is the sum?",
        "tool_calls": [{"id": "a", "function": {"name": "run", "arguments": '{"command": "cat till.py"}'}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": "total = a - b"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "b", "function": {"name": "submit", "arguments": "{}"}}],
    },
]
BLOCKS: list[Json] = [
    {"role": "user", "content": "The sum is wrong."},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Where is the sum?", "signature": "x"},
            {"type": "tool_use", "id": "a", "name": "Read", "input": {"file_path": "till.py"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "a - b"}]}
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "It is mended."}]},
]


def as_lines(*rows: Json) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def swe_agent() -> str:
    history = [
        {**one, **({"tool_call_ids": [one["tool_call_id"]]} if "tool_call_id" in one else {})} for one in TALK
    ]
    info = {"exit_status": "submitted", "submission": patch("till")}
    return json.dumps({"history": history, "trajectory": [], "info": info})


def mini() -> str:
    info = {"exit_status": "Submitted", "submission": patch("till")}
    return json.dumps({"messages": TALK, "info": info, "trajectory_format": "mini-swe-agent-1.1"}, indent=2)


def atif() -> str:
    call = {"tool_call_id": "a", "function_name": "run", "arguments": {"command": "cat till.py"}}
    steps = [
        {"source": "user", "message": "The sum is wrong."},
        {
            "source": "agent",
            "message": "I look.",
            "reasoning_content": "Where?",
            "tool_calls": [call],
            "observation": {"results": [{"source_call_id": "a", "content": "total = a - b"}]},
        },
        {"source": "agent", "message": "It is mended."},
    ]
    return json.dumps({"schema_version": "ATIF-v1.4", "agent": {"name": "x"}, "steps": steps})


def sera_rows() -> str:
    text = [
        {"role": "system", "content": "You mend tills."},
        {"role": "user", "content": "The sum is wrong."},
        {
            "role": "assistant",
            "content": '<think>\nWhere?\n</think>\n\n<tool_call>\n{"name": "run", "arguments": {"command": "ls"}}\n</tool_call>',
        },
        {"role": "user", "content": "<tool_response>\ntill.py\n</tool_response>"},
        {"role": "assistant", "content": '<tool_call>\n{"name": "submit", "arguments": {}}\n</tool_call>'},
    ]
    one = patch("till")
    return as_lines(
        {"instance_id": "i", "messages": json.dumps(text), "rollout_patch": one, "target_patch": one}
    )


def claude_code() -> str:
    named = [{"uuid": str(n), "parentUuid": str(n - 1) if n else None} for n in range(len(BLOCKS))]
    return as_lines(
        {"type": "summary", "summary": "Till", "leafUuid": "3"},
        *(
            {"type": message["role"], "sessionId": "s", "message": message, **name}
            for message, name in zip(BLOCKS, named, strict=True)
        ),
    )


def openhands() -> str:
    history = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": "The sum is wrong."}},
        {
            "id": 1,
            "source": "agent",
            "action": "run",
            "args": {"command": "cat till.py", "thought": "I look."},
        },
        {"id": 2, "source": "environment", "observation": "run", "content": "a - b", "cause": 1},
        {"id": 3, "source": "agent", "action": "finish", "args": {"final_thought": "Mended."}},
    ]
    return as_lines({"instance_id": "i", "history": history, "test_result": {"git_patch": patch("till")}})


def sharegpt() -> str:
    turns = [
        {"from": "human", "value": "The sum is wrong."},
        {"from": "gpt", "value": "<think>Where?</think>I look."},
        {"from": "function_call", "value": '{"name": "run", "arguments": {"command": "cat till.py"}}'},
        {"from": "observation", "value": "a - b"},
        {"from": "gpt", "value": "It is mended."},
    ]
    return json.dumps([{"id": "i", "conversations": turns}], indent=2)


def swe_smith() -> str:
    turns = [
        {"role": "system", "content": "You mend tills."},
        {"role": "user", "content": "The sum is wrong."},
        {
            "role": "assistant",
            "content": "I look.\n\n<function=bash>\n<parameter=command>ls</parameter>\n</function>",
        },
        {"role": "user", "content": "OBSERVATION:\ntill.py"},
        {"role": "assistant", "content": "<function=submit>\n</function>"},
    ]
    return as_lines({"instance_id": "i", "messages": turns, "patch": patch("till")})


FILES: dict[str, tuple[str, Callable[[], str]]] = {
    "swe-agent": ("till.traj", swe_agent),
    "mini-swe-agent": ("till.traj.json", mini),
    "atif": ("trajectory.json", atif),
    "openai": ("rows.jsonl", lambda: as_lines({"messages": TALK, **END})),
    "sera": ("published.jsonl", sera_rows),
    "anthropic": ("log.jsonl", lambda: as_lines({"messages": BLOCKS, "system": "You mend tills."})),
    "claude-code": ("3f2a.jsonl", claude_code),
    "openhands": ("output.jsonl", openhands),
    "sharegpt": ("set.json", sharegpt),
    "swe-smith": ("train.jsonl", swe_smith),
}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **SHAPE}))
    write_tokenizer(folder)
    return folder


def build(sera: Sera, folder: Path, student: Path, kind: str) -> tuple[str, Path]:
    """What the import says, and the dataset."""
    name, write = FILES[kind]
    (folder / name).write_text(write(), "utf-8")
    imported, data = folder / "imported", folder / "data"
    told = sera("dataset", "import", folder / name, "--submitted", "--out", imported).stdout
    reading = ["--student", student, "--template", "chatml", "--workers", "1"]
    sera("dataset", "build", imported, "--min-recall", "0", *reading, "--out", data)
    assert "nothing is wrong" in sera("dataset", "check", data, *reading).stdout
    return " ".join(told.split()), data


@pytest.mark.parametrize("kind", FILES)
def test_any_file_becomes_a_proven_dataset_in_the_default_format(
    sera: Sera, tmp_path: Path, student: Path, kind: str
) -> None:
    told, data = build(sera, tmp_path, student, kind)
    assert f"read as {'sera' if kind == 'swe-smith' else kind}" in told
    assert "tools inferred from the calls" in told
    (row,) = map(json.loads, (data / "train.jsonl").read_text().splitlines())
    assert "<tools>" in row["messages"][0]["content"]
    assert sum("<tool_call>" in turn["content"] for turn in row["messages"] if turn["train"]) >= 1


def test_a_session_becomes_a_student(sera: Sera, tmp_path: Path, student: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(student)
    _, data = build(sera, tmp_path, student, "claude-code")
    small = ["warmup_steps=0", "batch=1", "sequence=2048", "epochs=1", "device.gpu='cpu'"]
    settings = [f"--set={pair}" for pair in small]
    out = tmp_path / "trained"
    train = ["train", data, "--student", student, "--out", out, "--held-out", "0", *settings]
    refused = sera(*train, code=2).stderr
    assert "give --harness the run or the import that it was built from" in " ".join(refused.split())
    sera(*train, "--harness", tmp_path / "imported", timeout=300)
    words = json.loads((out / "checkpoint" / "harness.json").read_text())
    assert [tool["function"]["name"] for tool in words["tools"]] == ["Read"]
