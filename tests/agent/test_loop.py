"""The loop, in a real sandbox with a scripted teacher: every end, every malformed reply."""

import asyncio
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from sera.agent import Agent, AgentConfig, Outcome, run_rollout
from sera.errors import ContextOverflow, TeacherError
from sera.harness import load_profile
from sera.records import End, Message, ToolCall, Usage
from sera.redaction import RedactionConfig, make_redactor
from sera.sandboxes import Sandbox
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.scripted import ScriptedTeacher, call, say

PROFILE = load_profile()
SUBMIT = [call("submit"), call("submit")]


def roll_out(in_sandbox: Any, teacher: Any, memory: Any = None, **config: Any) -> Outcome:
    async def work(sandbox: Sandbox) -> Outcome:
        agent = Agent(teacher=teacher, profile=PROFILE, config=AgentConfig(**config))
        return await run_rollout(agent, sandbox, "Please.", seed=1, memory=memory)

    return in_sandbox(work)


def observations(outcome: Outcome) -> list[str]:
    prefix = PROFILE.say("prefix")
    answers = [message.content for message in outcome.messages[2:] if message.role != "assistant"]
    assert all(answer.startswith(prefix) for answer in answers)
    return [answer.removeprefix(prefix) for answer in answers]


def test_products_of_tools_are_left_out_and_counted(in_sandbox: Any) -> None:
    script = [
        call(
            "bash",
            command="echo more >> README.md; echo 'a = 1' > made.py; echo $$ | tee .coverage coverage.xml",
        ),
        call("str_replace_editor", command="create", path="/testbed/by_hand.bak", file_text="kept\n"),
        *SUBMIT,
    ]
    outcome = roll_out(in_sandbox, ScriptedTeacher(script))
    changed = [line.split(" b/")[1] for line in outcome.patch.splitlines() if line.startswith("diff --git")]
    assert changed == ["README.md", "by_hand.bak", "made.py"]
    assert (outcome.left_out, outcome.products) == (2, (".coverage", "coverage.xml"))
    assert ".coverage" not in observations(outcome)[-2], "nor is it shown for review"


class Saying(ScriptedTeacher):
    """A script whose first answer is a given reply, as it stands."""

    def __init__(self, first: Reply | Exception, script: Sequence[Message] = ()) -> None:
        super().__init__([say("replaced"), *script])
        self.first = first

    async def complete(self, request: ChatRequest) -> Reply:
        if any(message.role == "assistant" for message in request.messages):
            return await super().complete(request)
        if isinstance(self.first, Exception):
            raise self.first
        return self.first


def calling(*calls: ToolCall, finish: str = "tool_calls") -> Reply:
    return Reply(message=Message(role="assistant", tool_calls=calls), finish_reason=finish)


def test_submission_takes_two_steps_and_yields_the_patch(in_sandbox: Any) -> None:
    script = [call("bash", command="echo more >> README.md"), *SUBMIT]
    outcome = roll_out(in_sandbox, ScriptedTeacher(script))
    assert outcome.end is End.SUBMITTED
    assert outcome.patch.endswith("@@ -1 +1,2 @@\n # tiny\n+more\n")
    assert [message.role for message in outcome.messages] == ["system", "user", *["assistant", "tool"] * 3]
    empty, review, last = observations(outcome)
    assert empty == PROFILE.say("empty")
    assert "+more" in review
    assert last == PROFILE.say("submitted")
    assert outcome.usage == Usage(calls=3)


def test_review_says_when_nothing_has_changed(in_sandbox: Any) -> None:
    outcome = roll_out(in_sandbox, ScriptedTeacher(SUBMIT))
    assert (outcome.end, outcome.patch) == (End.SUBMITTED, "")
    assert PROFILE.say("no_changes") in observations(outcome)[0]


def test_what_commands_answer(in_sandbox: Any) -> None:
    script = [
        call("bash", command="cd tiny; greeting=hello; false"),
        call("bash", command="echo $greeting from $PWD"),
        call("bash", command="echo before; sleep 30"),
        call("bash", command="exit 3"),
        call("bash", command="seq 1 100000"),
        *SUBMIT,
    ]
    failed, kept, late, ended, long, *_ = observations(
        roll_out(in_sandbox, ScriptedTeacher(script), tool_timeout=0.5, clip=1000)
    )
    assert failed == PROFILE.say("empty_failed", exit_code=1)
    assert kept == "hello from /testbed/tiny"
    assert late == "before\n" + PROFILE.say("timed_out", seconds="0.5")
    assert ended == PROFILE.say("empty_failed", exit_code=3) + "\n" + PROFILE.say(
        "shell_restarted", workdir="/testbed/tiny"
    )
    assert long.startswith("1\n2\n3\n")
    assert long.endswith("99999\n100000")
    assert "characters left out here" in long
    assert len(long) < 1100


def test_no_control_character_reaches_the_model(in_sandbox: Any) -> None:
    """Neither from a command nor from a file, its name or the diff; and none hides a secret."""
    script = [
        call(
            "bash",
            command=r"printf '\033[1mbold\033[0m 5%%\r9%%\a\n'; printf 'a\000b\r\033[31mc\033[m\r\n' | tee -a README.md",
        ),
        call(
            "bash",
            command=r"touch $'odd\033[2J'; printf 'gh\033[1mp_%s\n' 0123456789abcdefghijABCDEFGHIJ012345",
        ),
        call("str_replace_editor", command="view", path="/testbed/README.md"),
        call("str_replace_editor", command="view", path="/testbed"),
        *SUBMIT,
    ]

    async def work(sandbox: Sandbox) -> Outcome:
        redactor = make_redactor(RedactionConfig())
        agent = Agent(
            teacher=ScriptedTeacher(script), profile=PROFILE, config=AgentConfig(), redactor=redactor
        )
        return await run_rollout(agent, sandbox, "Please.", seed=1)

    outcome = in_sandbox(work)
    printed, secret, viewed, listed, review, _ = observations(outcome)
    assert printed == "9%␇d 5%\nc␀b"
    assert "ghp_" not in secret
    assert viewed.endswith("     2\ta␀b␍␛[31mc␛[m")
    assert "odd␛[2J" in listed
    assert "+a␀b" in review or "Binary" in review or "binary" in review
    controls = [sign for said in observations(outcome) for sign in said if unicodedata.category(sign) == "Cc"]
    assert set(controls) <= {"\n", "\t"}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(message=say("I think it is fine.")), PROFILE.say("no_call")),
        (Reply(message=say("I was going to", "hm"), finish_reason="length"), PROFILE.say("cut_off")),
        (calling(ToolCall(id="1", name="browse", arguments="{}")),
         PROFILE.say("unknown_tool", name="browse", tools="bash, str_replace_editor, submit")),
        (calling(ToolCall(id="1", name="bash", arguments="{}")),
         PROFILE.say("bad_arguments", name="bash", problem="command is missing")),
        (calling(ToolCall(id="1", name="bash", arguments='{"command": 7}')),
         PROFILE.say("bad_arguments", name="bash", problem="command must be text")),
        (calling(ToolCall(id="1", name="bash", arguments='{"command": "ls", "cwd": "/"}')),
         PROFILE.say("bad_arguments", name="bash", problem="there is no parameter cwd")),
        (calling(ToolCall(id="1", name="str_replace_editor", arguments='{"command": "open", "path": "/a"}')),
         PROFILE.say("bad_arguments", name="str_replace_editor",
                     problem="command must be one of view, create, str_replace, insert, undo_edit")),
        (calling(ToolCall(id="1", name="str_replace_editor",
                          arguments='{"command": "view", "path": "/a", "view_range": [1, "two"]}')),
         PROFILE.say("bad_arguments", name="str_replace_editor",
                     problem="view_range must be a list, each item a whole number")),
    ],
)  # fmt: skip
def test_malformed_replies_are_explained_and_the_rollout_goes_on(
    in_sandbox: Any, reply: Reply, told: str
) -> None:
    outcome = roll_out(in_sandbox, Saying(reply, SUBMIT))
    assert outcome.end is End.SUBMITTED
    assert observations(outcome)[0] == told


@pytest.mark.parametrize(
    "arguments", ['{"command": "ls"', '["ls"]', '"ls"', "", "{'command': 'ls'}", '{"command": ' + "[" * 9000]
)
def test_arguments_that_are_no_object_are_marked(in_sandbox: Any, arguments: str) -> None:
    outcome = roll_out(
        in_sandbox, Saying(calling(ToolCall(id="1", name="bash", arguments=arguments)), SUBMIT)
    )
    assert outcome.end is End.SUBMITTED
    assert "not a valid JSON object" in observations(outcome)[0]
    assert outcome.messages[2].tool_calls == (
        ToolCall(id="1", name="bash", arguments=arguments, malformed=True),
    )


def test_call_cut_off_by_the_length_limit(in_sandbox: Any) -> None:
    reply = calling(ToolCall(id="1", name="bash", arguments='{"command": "cat > f <<EO'), finish="length")
    assert observations(roll_out(in_sandbox, Saying(reply, SUBMIT)))[0] == PROFILE.say("cut_off")


def test_several_calls_at_once_are_all_answered_and_none_run(in_sandbox: Any) -> None:
    calls = [ToolCall(id=str(n), name="bash", arguments='{"command": "touch made"}') for n in range(3)]
    outcome = roll_out(in_sandbox, Saying(calling(*calls), SUBMIT))
    answers = outcome.messages[3:6]
    assert [answer.tool_call_id for answer in answers] == ["0", "1", "2"]
    assert answers[0].content.endswith(PROFILE.say("many_calls", count=3))
    assert answers[2].content.endswith(PROFILE.say("not_run"))
    assert outcome.patch == ""


def test_too_many_malformed_replies_in_a_row_end_it(in_sandbox: Any) -> None:
    broken = [say("…")] * 2
    good = call("bash", command="true")
    assert (
        roll_out(in_sandbox, ScriptedTeacher([*broken, good, *broken, *SUBMIT]), malformed_limit=3).end
        is End.SUBMITTED
    )
    assert roll_out(in_sandbox, ScriptedTeacher([*broken, say("…")]), malformed_limit=3).end is End.MALFORMED


def test_step_limit(in_sandbox: Any) -> None:
    outcome = roll_out(in_sandbox, ScriptedTeacher([call("bash", command="date > when")] * 9), step_limit=4)
    assert (outcome.end, outcome.usage.calls) == (End.STEP_LIMIT, 4)
    assert outcome.patch == "", "what was not handed in is no patch"


def test_each_request_is_the_one_before_and_what_followed(in_sandbox: Any) -> None:
    """With the tools and the seed of the rollout: so servers find the prefix in their cache."""

    class Listening(ScriptedTeacher):
        async def complete(self, request: ChatRequest) -> Reply:
            heard.append(request)
            return await super().complete(request)

    heard: list[ChatRequest] = []
    outcome = roll_out(in_sandbox, Listening([call("bash", command="ls"), say("hm"), *SUBMIT]))
    assert [(request.tools, request.seed) for request in heard] == [(PROFILE.tools, 1)] * 4
    assert [request.messages for request in heard] == [outcome.messages[:n] for n in (2, 4, 6, 8)]


def test_wall_clock_keeps_what_there_is(in_sandbox: Any) -> None:
    class Stalling(ScriptedTeacher):
        async def complete(self, request: ChatRequest) -> Reply:
            if len(request.messages) > 3:
                await asyncio.sleep(60)
            return await super().complete(request)

    outcome = roll_out(in_sandbox, Stalling([call("bash", command="echo hi")] * 2), wall_clock=1.0)
    assert outcome.end is End.WALL_CLOCK
    assert observations(outcome) == ["hi"]


def test_errors_of_the_teacher_are_ends(in_sandbox: Any) -> None:
    full = roll_out(in_sandbox, Saying(ContextOverflow("65,536 tokens")))
    assert (full.end, full.error) == (End.CONTEXT, "")
    broken = roll_out(in_sandbox, Saying(TeacherError("no answer")))
    assert (broken.end, broken.error) == (End.FAILED, "TeacherError: no answer")


def test_bug_is_a_crash(in_sandbox: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        roll_out(in_sandbox, Saying(ZeroDivisionError("a bug")))


def test_outcome_fits_its_record() -> None:
    """`Rollouts` spreads an outcome, but for its exception, into a rollout; the fields have to agree."""
    from sera.records import Rollout

    own = {field.name for field in msgspec.structs.fields(Outcome)} - {"failure"}
    assert own <= {field.name for field in msgspec.structs.fields(Rollout)}


@pytest.mark.parametrize(
    ("answering", "end", "observed"), [(0.0, End.MALFORMED, 2), (6.0, End.WALL_CLOCK, 1)]
)
def test_a_pause_is_not_the_rollouts_time_and_the_rest_is(
    in_sandbox: Any, answering: float, end: End, observed: int
) -> None:
    """Two pauses of 20 s and two answers, with 10 s of its own; the loop's clock is put forward, nobody waits."""

    async def work(sandbox: Sandbox) -> Outcome:
        loop, ahead = asyncio.get_running_loop(), 0.0
        real = loop.time
        loop.time = lambda: real() + ahead  # type: ignore[method-assign]

        async def put_forward(seconds: float) -> None:
            nonlocal ahead
            ahead += seconds
            await asyncio.sleep(0.01)

        class Taking(ScriptedTeacher):
            async def complete(self, request: ChatRequest) -> Reply:
                await put_forward(answering)
                return await super().complete(request)

        agent = Agent(
            teacher=Taking([say("hm"), say("hm")]),
            profile=PROFILE,
            config=AgentConfig(wall_clock=10.0, malformed_limit=2),
            permission=lambda: put_forward(20.0),
        )
        return await run_rollout(agent, sandbox, "Please.", seed=1)

    outcome = in_sandbox(work)
    assert outcome.end is end
    assert observations(outcome) == [PROFILE.say("no_call")] * observed
