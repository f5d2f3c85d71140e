"""Soft Verified Generation, on one screen.

    T1, P1 = rollout(concern about a function)      again with another concern if the self-check says no
    text   = pull request(T1, style of a demonstration)
    T2, P2 = rollout(text)
    r      = |P1 ∩ P2| / |P1|                       in changed lines; see `recall`

Each task flows through on its own: no stage waits for another task. What `steps` has recorded
before is not done again, so the same function starts and resumes a task.
"""

import time

from sera.generation.recall import compare
from sera.generation.steps import Steps
from sera.records import Agreement, End, Pair, Rollout, State, Task


async def generate_pair(task: Task, steps: Steps) -> Pair:
    """Bring one task to its end. Raises `RolloutError` if a step broke: the task is then owed."""
    for attempt in range(len(task.categories)):
        t1 = await steps.first_rollout(task, attempt)
        if t1.end is not End.SUBMITTED:
            return ended(task, State.T1_UNFINISHED, t1.end, t1)
        if not t1.patch:
            return ended(task, State.T1_EMPTY, "nothing was changed", t1)
        verdict = await steps.verdict(t1)
        if verdict.accepted:
            break
    else:
        return ended(task, State.REJECTED, f"the self-check refused {len(task.categories)} attempts", t1)

    request = await steps.pull_request(task, t1)
    if not request.text:
        return ended(task, State.UNREADABLE, "no pull request could be read from the answer", t1)

    t2 = await steps.second_rollout(task, request)
    if t2.end is not End.SUBMITTED:
        return ended(task, State.T2_UNFINISHED, t2.end, t1, t2)
    return ended(task, State.COMPLETE, "", t1, t2, compare(t1.patch, t2.patch))


def ended(
    task: Task,
    state: State,
    reason: str,
    t1: Rollout | None = None,
    t2: Rollout | None = None,
    agreement: Agreement | None = None,
) -> Pair:
    """A task's end, to be recorded."""
    return Pair(
        task=task.id,
        index=task.index,
        state=state,
        reason=str(reason),
        t1=t1.id if t1 else "",
        t2=t2.id if t2 else "",
        agreement=agreement,
        finished=round(time.time(), 3),
    )
