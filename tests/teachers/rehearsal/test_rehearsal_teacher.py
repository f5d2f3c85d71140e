"""Proportions, the two questions, faults, and reading of issue texts."""

import asyncio
from pathlib import Path

import pytest
from rehearsal_playing import PROFILE, change_request

from sera.errors import TeacherError
from sera.generation.answers import read_verdict
from sera.generation.demonstrations import load_demonstrations
from sera.records import Message, ToolCall
from sera.teachers.contract import ChatRequest
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
from sera.teachers.rehearsal.clues import read_clues
from sera.teachers.rehearsal.conversation import Wording, read_conversation
from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.edits import MAKERS, make
from sera.teachers.rehearsal.evidence import Finding
from sera.teachers.rehearsal.faults import babble, latency
from sera.teachers.rehearsal.issues import write_issue
from sera.teachers.rehearsal.source import read_code
from sera.teachers.rehearsal.style import measure


def request(text: str = "`x` is wrong", seed: int = 0) -> ChatRequest:
    opening = PROFILE.prompt("task", workdir="/testbed", request=text)
    return ChatRequest(messages=(Message(role="user", content=opening),), tools=PROFILE.tools, seed=seed)


def edited(seed: int) -> ChatRequest:
    """A conversation with an edit in it, and the self-check."""
    call = ToolCall(
        id="c",
        name="str_replace_editor",
        arguments='{"command":"str_replace","path":"/testbed/a.py","old_str":"a","new_str":"b"}',
    )
    messages = (
        *request(seed=seed).messages,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="OBSERVATION:\nedited:\n     1\tb", tool_call_id="c"),
        Message(role="user", content=PROFILE.prompt("self_check")),
    )
    return ChatRequest(messages=messages, tools=PROFILE.tools, seed=seed)


# ── proportions ───────────────────────────────────────────────────────────────────────────────────


def test_fidelities_come_in_the_configured_proportions() -> None:
    teacher = RehearsalTeacher(RehearsalConfig(same=0.4, partial=0.35))
    drawn = [teacher.fidelity(Dice(str(n))) for n in range(4000)]
    for fidelity, share in (("same", 0.4), ("partial", 0.35), ("elsewhere", 0.25)):
        assert drawn.count(fidelity) / len(drawn) == pytest.approx(share, abs=0.03)  # type: ignore[arg-type]


def test_self_checks_are_refused_at_the_configured_rate() -> None:
    teacher = RehearsalTeacher(RehearsalConfig(reject_rate=0.1))
    verdicts = [read_verdict(teacher.answer(edited(seed)).message.content) for seed in range(600)]
    assert None not in verdicts
    assert verdicts.count(False) / 600 == pytest.approx(0.1, abs=0.04)


def test_a_rollout_without_an_edit_is_refused() -> None:
    messages = (*request().messages, Message(role="user", content=PROFILE.prompt("self_check")))
    answer = RehearsalTeacher().answer(ChatRequest(messages=messages, tools=PROFILE.tools))
    assert read_verdict(answer.message.content) is False


def test_shares_above_the_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        RehearsalConfig(same=0.8, partial=0.4)


# ── faults ────────────────────────────────────────────────────────────────────────────────────────


def test_failures_come_at_their_rate_and_pass_on_repetition() -> None:
    teacher = RehearsalTeacher(RehearsalConfig(fail_rate=0.3))

    async def tries(seed: int) -> int:
        for attempt in range(50):
            try:
                await teacher.complete(request(seed=seed))
            except TeacherError:
                continue
            return attempt
        raise AssertionError("never answered")

    async def all_tries() -> list[int]:
        return [await tries(seed) for seed in range(300)]

    failures = asyncio.run(all_tries())
    assert sum(n > 0 for n in failures) / 300 == pytest.approx(0.3, abs=0.08)
    assert asyncio.run(all_tries()) == failures


def test_a_stall_lasts_until_it_is_cancelled_and_then_passes() -> None:
    teacher = RehearsalTeacher(RehearsalConfig(stall_rate=0.5))

    async def first_that_stalls() -> int:
        for seed in range(50):
            try:
                await asyncio.wait_for(teacher.complete(request(seed=seed)), 0.05)
            except TimeoutError:
                return seed
        raise AssertionError("never stalled")

    async def answered(seed: int) -> bool:
        for _ in range(30):
            try:
                await asyncio.wait_for(teacher.complete(request(seed=seed)), 0.05)
            except TimeoutError:
                continue
            return True
        return False

    assert asyncio.run(answered(asyncio.run(first_that_stalls())))


def test_babble_is_content_and_comes_in_all_its_forms() -> None:
    teacher = RehearsalTeacher(RehearsalConfig(babble_rate=1.0))
    replies = [teacher.answer(request(seed=seed)) for seed in range(60)]
    assert replies == [teacher.answer(request(seed=seed)) for seed in range(60)]
    shapes = {(len(r.message.tool_calls), r.finish_reason) for r in replies}
    assert {(0, "stop"), (1, "tool_calls"), (2, "tool_calls"), (1, "length")} <= shapes
    for reply in replies:
        conversation = read_conversation((reply.message, Message(role="tool", content="?")), Wording(PROFILE))
        assert conversation.turns == ()


def test_babbled_answers_hold_no_block() -> None:
    message, finish = babble(Dice("a"), Message(role="assistant", content="<output>\nyes\nIt is.\n</output>"))
    assert finish == "length"
    assert "<output>" not in message.content


def test_latency_has_the_mean_it_is_given() -> None:
    drawn = [latency(Dice(str(n)), 2.0) for n in range(4000)]
    assert sum(drawn) / len(drawn) == pytest.approx(2.0, rel=0.1)
    assert max(drawn) <= 10.0


# ── issue texts ───────────────────────────────────────────────────────────────────────────────────


def findings_for_all_kinds() -> list[Finding]:
    """One finding for each kind that applies to something in the sample."""
    found: dict[str, Finding] = {}
    for file in sorted((Path(__file__).parent / "sample").rglob("*.py")):
        lines = dict(enumerate(file.read_text("utf-8").split("\n")[:-1], 1))
        for number, line in lines.items():
            if line.lstrip().startswith("def "):
                name = line.split("def ")[1].split("(")[0]
                code = read_code(f"src/ledger/{file.name}", lines, number, name, len(lines))
                for kind in MAKERS:
                    if code and (made := make(kind, code)):
                        owner = "Account." if line.startswith(" ") else ""
                        found.setdefault(kind, Finding(made, code.path, owner, number, name == "book"))
    return list(found.values())


def test_every_text_tells_function_file_and_kind_in_every_style() -> None:
    findings = findings_for_all_kinds()
    assert len(findings) >= 18
    demonstrations = load_demonstrations(None)
    for number, demonstration in enumerate(demonstrations):
        for finding in findings:
            text = write_issue([finding], demonstration.text, Dice(f"{number}"))
            place = read_clues(text).places[0]
            told = (place.name, place.path, place.kind)
            assert told == (finding.name, finding.path, finding.alteration.kind), text
            wording = read_clues(text).wording
            assert len(wording.split()) >= 2, wording
            assert wording in text.lower()


def test_texts_about_two_functions_tell_both() -> None:
    first, second = findings_for_all_kinds()[:2], findings_for_all_kinds()[-2:]
    for one, other in zip(first, second, strict=True):
        if one.name != other.name:
            places = read_clues(write_issue([one, other], "Two things.\n\n- a\n- b\n", Dice("d"))).places
            assert {place.name for place in places} == {one.name, other.name}


def test_length_and_form_follow_the_demonstration() -> None:
    finding = findings_for_all_kinds()[0]
    within = 0
    demonstrations = load_demonstrations(None)
    for demonstration in demonstrations:
        text = write_issue([finding], demonstration.text, Dice(demonstration.name))
        wanted, got = measure(demonstration.text), measure(text)
        within += 0.5 <= len(text) / wanted.length <= 1.6
        if wanted.length > 800:
            assert bool(got.heading) == bool(wanted.heading), demonstration.name
            assert got.lower == wanted.lower, demonstration.name
        if wanted.length > 400:
            assert got.greeting == wanted.greeting, demonstration.name
    assert within >= 0.9 * len(demonstrations)


def test_an_issue_of_somebody_else_gives_names_and_paths() -> None:
    clues = read_clues("Since 2.1 `Parser.read_all()` hangs, see lib/parser.py. It calls find_token.")
    assert clues.places == ()
    assert clues.wording == ""
    assert clues.names[0] == "read_all"
    assert "Parser" in clues.names
    assert "find_token" in clues.names
    assert clues.paths == ("lib/parser.py",)


# ── reading conversations ─────────────────────────────────────────────────────────────────────────


def test_the_request_and_directory_come_out_of_the_prompt() -> None:
    text = change_request("A.b", "pkg/a.py", 12, "naming")
    wording = Wording(PROFILE)
    conversation = read_conversation(request(text).messages, wording)
    assert (conversation.request, conversation.workdir) == (text, "/testbed")
    change = wording.change.search(conversation.request)
    assert change is not None
    assert wording.categories[change["concern"]] == "naming"


def test_a_call_nested_too_deeply_is_no_turn() -> None:
    deep = '{"command": ' + "[" * 5000 + "]" * 5000 + "}"
    call = ToolCall(id="a", name="bash", arguments=deep)
    messages = (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="x", tool_call_id="a"),
    )
    assert read_conversation(messages, Wording(PROFILE)).turns == ()


def test_without_tools_and_question_it_says_what_it_is() -> None:
    reply = RehearsalTeacher().answer(ChatRequest(messages=(Message(role="user", content="Hello?"),)))
    assert "rehearsal teacher" in reply.message.content
    assert reply.finish_reason == "stop"
