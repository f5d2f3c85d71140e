"""The short form of the check, before a run: a tiny request, and a second one if its call was left as text.

The teacher itself sends them, with its repeats and its patience, and counts them like any other.
"""

from sera.errors import TeacherError, TeacherUnusable
from sera.harness import Profile
from sera.records import Message
from sera.teachers.checkup.findings import Finding, good, note, problem
from sera.teachers.checkup.texts import unparsed_call
from sera.teachers.contract import ChatRequest, Reply, Sampling, Teacher

WISH = "Call the tool `bash` once, with the command `ls`."
_TRIES = 2
_ROOM = 2048
"""Tokens for an answer, and no more than the settings give: enough for a model that thinks first."""
_SHOWN = 80


async def check_briefly(teacher: Teacher, profile: Profile) -> Finding:
    """Whether the teacher answers, and with a call that can be read.

    Raises `TeacherUnusable` if it does not answer, also once its patience has ended; `BudgetExhausted`; and
    `Halted`.
    """
    found = None
    for seed in range(_TRIES):
        said = (await _answer(teacher, profile, seed)).message
        if said.tool_calls:
            return good("tool calls", "the teacher answers by a tool call")
        found = unparsed_call(said.content)
        if not found:
            break
    if not found:
        words = " ".join(said.content[:_SHOWN].split()) or "nothing"
        cure = "`sera teacher check` looks closer"
        return note("tool calls", f"asked for a tool call, the teacher made none; it said: {words}", cure)
    text = f"the teacher's tool calls are left in the text, as {found[0]}, where nobody runs them"
    return problem("tool calls", text, f"{found[1]}; of a student: --set teacher.format=hermes", needed=True)


async def _answer(teacher: Teacher, profile: Profile, seed: int) -> Reply:
    words = (
        Message(role="system", content=profile.prompt("system")),
        Message(role="user", content=profile.prompt("task", workdir="/testbed", request=WISH)),
    )
    room = min(_ROOM, teacher.settings.get("max_tokens", _ROOM))
    try:
        wish = ChatRequest(messages=words, tools=profile.tools, seed=seed, sampling=Sampling(max_tokens=room))
        return await teacher.complete(wish)
    except TeacherError as failure:
        raise TeacherUnusable(
            f"the teacher gave no answer to a first short question, so nothing was begun: {failure}"
        ) from failure
