"""Whole tasks on a real tree with the real agent: they end, they are clean, and r is as intended."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rehearsal_playing import PROFILE, Played, Watched, change_request, line_of, play, roll_out

from sera.generation.demonstrations import load_demonstrations
from sera.generation.recall import compare
from sera.records import End, Message
from sera.repositories import open_snapshot
from sera.sandboxes import Layer
from sera.teachers.contract import ChatRequest
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
from sera.teachers.rehearsal.conversation import Wording, read_conversation
from sera.teachers.rehearsal.evidence import find_changes

SAMPLE = Path(__file__).parent / "sample"
AMOUNTS, FILES = "src/ledger/amounts.py", "src/ledger/files.py"
TASKS = [
    ("parse", AMOUNTS, "parse", "data_validation"),
    ("Account.book", AMOUNTS, "book", "error_handling"),
    ("accounts_in", FILES, "accounts_in", "determinism"),
    ("summary", FILES, "summary", "failure_recovery"),
]
FAITHFUL = {
    "same": RehearsalConfig(same=1.0, partial=0.0, reject_rate=0.0),
    "partial": RehearsalConfig(same=0.0, partial=1.0, reject_rate=0.0),
    "elsewhere": RehearsalConfig(same=0.0, partial=0.0, reject_rate=0.0),
}


@pytest.fixture(scope="module")
def layer(cache: Path) -> Layer:
    return open_snapshot(str(SAMPLE), cache=cache).layer


@pytest.fixture(scope="module")
def played(layer: Layer) -> dict[str, tuple[Played, Watched]]:
    """One task for each fidelity."""
    demonstrations = load_demonstrations(None)
    results = {}
    for number, (fidelity, config) in enumerate(FAITHFUL.items()):
        name, path, simple, category = TASKS[number]
        teacher = Watched(RehearsalTeacher(config))
        request = change_request(name, path, line_of(SAMPLE, path, simple), category)
        style = demonstrations[number * 7].text
        results[fidelity] = (play(teacher, layer, request, style, number), teacher)
    return results


def test_both_rollouts_end_with_a_change_within_bounds(played: dict[str, tuple[Played, Watched]]) -> None:
    for task, _ in played.values():
        assert task.verdict is True
        for outcome in (task.first, task.second):
            assert outcome.end is End.SUBMITTED
            assert outcome.patch
            assert 8 <= outcome.usage.calls <= 26
            assert outcome.patch.count("diff --git") <= 2
            assert not any(word in outcome.patch for word in ("reproduce_", "show_", "try_"))


def test_agreement_is_what_the_fidelity_intends(played: dict[str, tuple[Played, Watched]]) -> None:
    recall = {name: compare(task.first.patch, task.second.patch).recall for name, (task, _) in played.items()}
    assert recall["same"] == 1
    assert 0 < recall["partial"] < 1
    assert recall["elsewhere"] == 0


def test_the_changed_tree_still_parses_and_the_script_has_run(
    played: dict[str, tuple[Played, Watched]],
) -> None:
    for task, _ in played.values():
        seen = [m.content for m in task.first.messages if m.role == "tool"]
        assert any("signature:" in text for text in seen)
        assert any(text.endswith("parses") or "parses\n" in text for text in seen)


def test_reasoning_speaks_of_the_function(played: dict[str, tuple[Played, Watched]]) -> None:
    for (name, *_), (task, _) in zip(TASKS, played.values(), strict=False):
        said = [m for m in task.first.messages if m.role == "assistant"]
        assert all(m.reasoning for m in said)
        assert any(f"`{name.rsplit('.', 1)[-1]}`" in m.reasoning for m in said)


def test_call_ids_are_unique_and_usage_grows(played: dict[str, tuple[Played, Watched]]) -> None:
    for task, _ in played.values():
        ids = [call.id for m in task.first.messages for call in m.tool_calls]
        assert len(set(ids)) == len(ids)
        assert 0 < task.first.usage.cached < task.first.usage.prompt


def test_what_was_changed_is_found_in_the_messages(played: dict[str, tuple[Played, Watched]]) -> None:
    for task, _ in played.values():
        conversation = read_conversation(task.first.messages, Wording(PROFILE))
        findings = find_changes(conversation.turns, conversation.workdir)
        assert findings
        for finding in findings:
            assert f"b/{finding.path}" in task.first.patch
            assert finding.name in task.text


def test_the_same_request_has_the_same_answer_in_another_process(
    played: dict[str, tuple[Played, Watched]], tmp_path: Path
) -> None:
    task, teacher = played["partial"]
    file = tmp_path / "requests.json"
    file.write_bytes(msgspec.json.encode(teacher.requests))
    code = (
        "import sys, asyncio, msgspec\n"
        "from sera.teachers.contract import ChatRequest\n"
        "from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher\n"
        "teacher = RehearsalTeacher(RehearsalConfig(same=0.0, partial=1.0, reject_rate=0.0))\n"
        "requests = msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=list[ChatRequest])\n"
        "sys.stdout.buffer.write(msgspec.json.encode([teacher.answer(r) for r in requests]))\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "77")
    ]
    here = RehearsalTeacher(FAITHFUL["partial"])
    assert outputs[0] == outputs[1] == msgspec.json.encode([here.answer(r) for r in teacher.requests])
    assert task.first.usage.calls + task.second.usage.calls + 2 == len(teacher.requests)


def test_a_rollout_repeated_is_the_same_to_the_byte(
    layer: Layer, played: dict[str, tuple[Played, Watched]]
) -> None:
    task, _ = played["same"]
    request = read_conversation(task.first.messages, Wording(PROFILE)).request
    assert roll_out(RehearsalTeacher(FAITHFUL["same"]), layer, request, 0) == task.first


def test_it_recovers_from_its_own_babble(layer: Layer) -> None:
    name, path, simple, category = TASKS[3]
    teacher = RehearsalTeacher(RehearsalConfig(babble_rate=0.3))
    outcome = roll_out(teacher, layer, change_request(name, path, line_of(SAMPLE, path, simple), category), 5)
    assert outcome.end is End.SUBMITTED
    assert outcome.patch
    assert sum("nothing was done" in m.content or "none of them" in m.content for m in outcome.messages) > 0


def test_some_rollouts_go_on_from_a_search_that_finds_nothing(
    layer: Layer, played: dict[str, tuple[Played, Watched]]
) -> None:
    text = played["same"][0].text
    by_words = 0
    for seed in range(8):
        outcome = roll_out(RehearsalTeacher(FAITHFUL["same"]), layer, text, seed)
        assert outcome.end is End.SUBMITTED
        assert outcome.patch == played["same"][0].first.patch
        nothing = [n for n, m in enumerate(outcome.messages) if m.content.endswith("printed nothing.")]
        if nothing and nothing[0] == 3:
            by_words += 1
            assert "(def|class)" in outcome.messages[4].tool_calls[0].arguments
    assert 1 <= by_words <= 7


def test_an_issue_in_free_words_is_worked_on_too(layer: Layer) -> None:
    text = "Calling `first_amount` with an empty list gives an IndexError, I would like something readable."
    outcome = roll_out(RehearsalTeacher(), layer, text, 3)
    assert outcome.end is End.SUBMITTED
    assert FILES in outcome.patch


@pytest.mark.parametrize(
    "observation", ["", "Killed.", "     7\tdef parse(text):", "src/a.py:3:def parse(x):", "\t" * 9]
)
@pytest.mark.parametrize(
    "request_text", [change_request("parse", AMOUNTS, 9, "naming"), "`parse` is broken", "?"]
)
def test_whatever_it_is_told_it_hands_in_soon(observation: str, request_text: str) -> None:
    teacher = RehearsalTeacher()
    messages = [
        Message(role="system", content="s"),
        Message(role="user", content=PROFILE.prompt("task", workdir="/testbed", request=request_text)),
    ]
    submits = 0
    for _ in range(40):
        reply = teacher.answer(ChatRequest(messages=tuple(messages), tools=PROFILE.tools))
        call = reply.message.tool_calls[0]
        messages += [reply.message, Message(role="tool", content=observation, tool_call_id=call.id)]
        submits += call.name == "submit"
        if submits == 2:
            break
    assert submits == 2
