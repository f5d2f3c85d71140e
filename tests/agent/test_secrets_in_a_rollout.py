"""No secret gets from the tree, or from the teacher, into what a rollout shows, sends and records."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_loop import PROFILE, SUBMIT, observations

from sera.agent import Agent, AgentConfig, Outcome, run_rollout
from sera.errors import TeacherError
from sera.records import End, Message
from sera.redaction import RedactionConfig, Redactor, make_redactor, placeholders
from sera.runs import Trail
from sera.sandboxes import Sandbox
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.scripted import ScriptedTeacher, call, say

TOKEN = "ghp_" + "a1B2" * 9
SECRET = "q7-Hidden/value+91"
BODY = "MIIEpAIBAAKCAQEAabCD12+" * 2
KEY = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END PRIVATE KEY-----\n"
REDACTOR = make_redactor(RedactionConfig(), environment={"ACME_TOKEN": SECRET})
REFUSING = make_redactor(RedactionConfig(mode="refuse"), environment={"ACME_TOKEN": SECRET})
FILES = {"/testbed/keys.py": f"a = 1\ntoken = '{TOKEN}'\nb = '{SECRET}'\n", "/testbed/server.key": KEY}


class Listening(ScriptedTeacher):
    """A script that keeps every request."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.heard: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> Reply:
        self.heard.append(request)
        return await super().complete(request)


def roll_out(
    in_sandbox: Any, teacher: Any, redactor: Redactor = REDACTOR, memory: Any = None, **config: Any
) -> tuple[Outcome, str]:
    """The outcome, and what `keys.py` held in the end."""

    async def work(sandbox: Sandbox) -> tuple[Outcome, str]:
        for path, text in FILES.items():
            await sandbox.write(path, text.encode())
        agent = Agent(teacher=teacher, profile=PROFILE, config=AgentConfig(**config), redactor=redactor)
        outcome = await run_rollout(agent, sandbox, f"Mend {SECRET}.", seed=1, memory=memory)
        return outcome, (await sandbox.read("/testbed/keys.py")).decode()

    return in_sandbox(work)


def edit(**arguments: Any) -> Message:
    return call("str_replace_editor", path="/testbed/keys.py", **arguments)


def nothing_in(*things: object) -> None:
    text = "".join(msgspec.json.encode(thing, enc_hook=str).decode() for thing in things)
    for secret in (TOKEN, SECRET, BODY):
        assert secret not in text


def test_observations_patch_and_requests_hold_no_secret(in_sandbox: Any) -> None:
    teacher = Listening(
        [
            call("bash", command="cat keys.py server.key; env"),
            call("bash", command="git add -A; git diff --cached; cat nothing"),
            edit(command="view"),
            call("str_replace_editor", command="view", path="/testbed/server.key", view_range=[2, 3]),
            edit(command="str_replace", old_str="a = 1", new_str="a = 2"),
            *SUBMIT,
        ]
    )  # fmt: skip
    outcome, left = roll_out(in_sandbox, teacher)
    assert outcome.end is End.SUBMITTED
    nothing_in(outcome, teacher.heard)
    assert left == FILES["/testbed/keys.py"].replace("a = 1", "a = 2"), "the real content stays"
    shown = observations(outcome)
    assert "[redacted github-token" in shown[0]
    assert "     3\t[redacted private-key]" in shown[3]
    assert "+b = '[redacted secret]'\n" in outcome.patch
    assert outcome.messages[1].content.count("Mend [redacted secret].") == 1


def test_a_secret_at_the_edge_of_what_is_clipped_is_not_cut_in_two(in_sandbox: Any) -> None:
    for length in range(60, 140, 7):
        script = [
            call("bash", command=f"printf '%0{length}d'; cat keys.py | tail -2 | head -1; seq 200"),
            *SUBMIT,
        ]
        outcome, _ = roll_out(in_sandbox, Listening(script), clip=240)
        assert "a1B2" not in observations(outcome)[0]


def test_a_reply_loses_its_secrets_before_it_is_run_and_recorded(in_sandbox: Any, tmp_path: Path) -> None:
    script = [
        say(f"Let me see {TOKEN}", reasoning=SECRET),
        call("bash", command=f"echo {SECRET} > made.txt; cat made.txt"),
        edit(command="str_replace", old_str="a = 1", new_str=f'a = "{TOKEN}"'),
        *SUBMIT,
    ]
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        outcome, left = roll_out(in_sandbox, Listening(script), memory=trail)
    nothing_in(outcome, (tmp_path / "steps" / "r.jsonl").read_text())
    assert "+[redacted secret]\n" in outcome.patch, "what is recorded is what was run"
    assert left.startswith('a = "[redacted github-token')
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        again, _ = roll_out(in_sandbox, Listening([]), memory=trail)
    assert again == outcome


def test_a_placeholder_in_old_str_is_explained(in_sandbox: Any) -> None:
    view = edit(command="view")
    shown = observations(roll_out(in_sandbox, Listening([view, *SUBMIT]))[0])[0]
    placeholder = shown[shown.index("[redacted") : shown.index("]") + 1]
    wrong = edit(command="str_replace", old_str=f"token = '{placeholder}'", new_str="token = ''")
    outcome, left = roll_out(in_sandbox, Listening([wrong, *SUBMIT]))
    assert observations(outcome)[0] == PROFILE.say("no_match_redacted", path="/testbed/keys.py")
    assert TOKEN in left


def test_refusing_withholds_the_whole_observation(in_sandbox: Any) -> None:
    script = [
        call("bash", command="cat keys.py"),
        call("bash", command="head -1 keys.py"),
        edit(command="view", view_range=[1, 1]),
        *SUBMIT,
    ]
    outcome, _ = roll_out(in_sandbox, Listening(script), REFUSING)
    nothing_in(outcome)
    withheld, first, line, review, _ = observations(outcome)
    told = "[redacted github-token], [redacted secret]"
    assert withheld == PROFILE.say("withheld", secrets=told)
    assert first == "a = 1"
    assert line.endswith("     1\ta = 1")
    assert review == PROFILE.say(
        "withheld", secrets="[redacted github-token], [redacted private-key], [redacted secret]"
    )
    assert placeholders([withheld]) == {"github-token": 1, "secret": 1}


def test_an_error_holds_no_secret(in_sandbox: Any) -> None:
    class Failing(ScriptedTeacher):
        async def complete(self, request: ChatRequest) -> Reply:
            raise TeacherError(f"401 for Bearer {SECRET}")

    outcome, _ = roll_out(in_sandbox, Failing([]))
    assert outcome.error == "TeacherError: 401 for Bearer [redacted secret]"


def test_off_shows_everything(in_sandbox: Any) -> None:
    outcome, _ = roll_out(in_sandbox, Listening([call("bash", command="cat keys.py"), *SUBMIT]), Redactor())
    assert TOKEN in observations(outcome)[0]


@pytest.mark.parametrize("name", ["withheld", "no_match_redacted"])
def test_our_own_sentences_count_as_no_redaction(name: str) -> None:
    assert placeholders([PROFILE.observations[name]]) == {}
