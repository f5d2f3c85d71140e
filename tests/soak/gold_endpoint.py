"""An endpoint that knows the answers: it finds the task in the conversation, and hands in its gold patch with
the commands that mini-swe-agent expects.

usage: gold_endpoint.py TASKS    prints the address
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import TeacherRefused
from sera.records import Usage
from sera.teachers import ChatRequest, Reply
from sera.teachers.scripted import call
from sera.teachers.server import serve

_HAND_IN = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && cat .git/handed-in.patch"


class Gold:
    """Answers the n-th request about a task with the n-th command."""

    def __init__(self, tasks: Path) -> None:
        rows = map(json.loads, (tasks / "tasks.jsonl").read_text().splitlines())
        self._patches = {row["problem_statement"].strip(): row["patch"] for row in rows}

    async def __aenter__(self) -> "Gold":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": "gold"}

    async def complete(self, request: ChatRequest) -> Reply:
        told = "\n".join(message.content for message in request.messages)
        patch = next((patch for text, patch in self._patches.items() if text in told), None)
        if patch is None:
            raise TeacherRefused("no task's text is in this conversation")
        coded = base64.b64encode(patch.encode()).decode()
        commands = [
            f"echo {coded} | base64 -d | git apply",
            "git diff > .git/handed-in.patch; wc -l .git/handed-in.patch",
            _HAND_IN,
        ]
        turn = sum(message.role == "assistant" for message in request.messages)
        message = call("bash", command=commands[min(turn, 2)])
        calls = tuple(msgspec.structs.replace(one, id=f"call_{turn}") for one in message.tool_calls)
        return Reply(
            message=msgspec.structs.replace(message, tool_calls=calls, content="Going on."),
            finish_reason="tool_calls",
            usage=Usage(calls=1, prompt=10, completion=5),
        )


if __name__ == "__main__":
    serve(Gold(Path(sys.argv[1])), "gold")
