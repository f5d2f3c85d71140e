"""For fine-tuning services that speak OpenAI's form: structured calls, tools, a `weight` on each answer.

A row holds `messages`, `tools` and `parallel_tool_calls` and no other key, since such services refuse a
file with one. `weight` is 1 on assistant messages that are trained and 0 on the others. The form knows no
reasoning: it stands in the content, in `<think>`, as the text formats have it. A conversation must end
with the assistant, so what follows its last word is cut.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.contract import BuiltDataset, Options, Row
from sera.datasets.lines import json_line
from sera.datasets.manifest import ROWS


def write_openai(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    with (folder / ROWS).open("wb") as file:
        for row in dataset.rows():
            file.write(json_line(_row(row)))
    return Counter()


def _row(row: Row) -> Row:
    turns = row["messages"]
    last = max(n for n, turn in enumerate(turns) if turn["role"] == "assistant")
    calls = max(len(turn["tool_calls"]) for turn in turns)
    return {
        "messages": [_message(turn) for turn in turns[: last + 1]],
        "tools": msgspec.json.decode(row["tools"]),
        "parallel_tool_calls": calls > 1,
    }


def _message(turn: Row) -> Row:
    thought = turn["reasoning_content"]
    content = (f"<think>\n{thought}\n</think>\n\n" if thought else "") + turn["content"]
    message: dict[str, Any] = {"role": turn["role"], "content": content}
    if turn["tool_calls"]:
        message["tool_calls"] = turn["tool_calls"]
    if turn["role"] == "tool":
        message["tool_call_id"] = turn["tool_call_id"]
    if turn["role"] == "assistant":
        message["weight"] = int(turn["train"])
    return message
