"""Made-up samples for the tests of datasets."""

import json
from typing import Any

import msgspec

from sera.datasets import Sample, Source
from sera.harness import load_profile
from sera.records import Agreement, End, Message, Stage, ToolCall

SOURCE = Source(repository="example/shop", commit="c0ffee", run="run-1")
TOOLS = load_profile().tools


def call(name: str = "bash", arguments: str = '{"command": "ls"}') -> ToolCall:
    return ToolCall(id="call_0", name=name, arguments=arguments)


def talk(steps: int = 3, answer: str = "fine", last: ToolCall | None = None) -> tuple[Message, ...]:
    """System, user, then `steps` times an assistant's call and its answer."""
    messages = [Message(role="system", content="You work."), Message(role="user", content="Mend it.")]
    for step in range(steps):
        used = last if last and step == steps - 1 else call(arguments=json.dumps({"command": f"step {step}"}))
        messages.append(Message(role="assistant", content="So:", reasoning="Hm.", tool_calls=(used,)))
        messages.append(Message(role="tool", content=answer, tool_call_id="call_0"))
    return tuple(messages)


def patch(name: str, lines: int = 2) -> str:
    body = "".join(f"+{name} = {line}\n" for line in range(lines))
    return (
        f"diff --git a/{name}.py b/{name}.py\n--- a/{name}.py\n+++ b/{name}.py\n@@ -0,0 +1,{lines} @@\n{body}"
    )


def agreement(recall: float) -> Agreement:
    return Agreement(
        recall=recall, precision=recall, f1=recall, file_recall=recall, lines_a=2, lines_b=2, common=1
    )


def sample(index: int = 0, stage: Stage = Stage.T2, **changes: Any) -> Sample:
    plain = Sample(
        id=f"{stage}-{index}",
        task=f"task-{index}",
        index=index,
        stage=stage,
        end=End.SUBMITTED,
        messages=talk(),
        patch=patch(f"m{index}"),
        agreement=agreement(1.0),
        category="naming",
        function="Cart.add",
        path="shop/cart.py",
        source=SOURCE,
        profile="profile-a",
        tools=TOOLS,
        teacher={"model": "teacher", "temperature": 0.6},
    )
    return msgspec.structs.replace(plain, **changes)


def pair(index: int, **changes: Any) -> list[Sample]:
    """Both samples of a task."""
    return [sample(index, Stage.T1, **changes), sample(index, Stage.T2, **changes)]
