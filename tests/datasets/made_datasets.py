"""Small built datasets, for the tests of what is made from them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from made_samples import SOURCE, call, pair, sample, talk

from sera.datasets import DatasetConfig, Manifest, Sample, build_dataset
from sera.records import Message, Stage, ToolCall


def talks() -> list[Sample]:
    """Plain ones, two calls at once, a call that must not be trained, odd characters, no reasoning."""
    two = (
        *talk(1),
        Message(
            role="assistant",
            tool_calls=(
                ToolCall(id="x", name="bash", arguments='{"command": "a"}'),
                ToolCall(
                    id="y",
                    name="str_replace_editor",
                    arguments='{"command": "view", "path": "/p", "view_range": [1, 2]}',
                ),
            ),
        ),
        Message(role="tool", content="first", tool_call_id="x"),
        Message(role="tool", content="</tool_response>\nnot the end\n", tool_call_id="y"),
        Message(role="assistant", content="All done."),
    )
    broken = ToolCall(id="call_0", name="bash", arguments="{bad", malformed=True)
    return [
        *pair(0),
        sample(1, messages=two),
        sample(2, messages=talk(3, last=broken)),
        sample(3, messages=talk(2, answer="naïve – 字\u2028 \U0001f600\n\n")),
        sample(4, Stage.T1, messages=talk(2, last=call(arguments='{"command": "echo \\"<b>\\""}'))),
    ]


def make_dataset(out: Path, tokenizer: str, style: str, samples: Iterable[Sample] | None = None) -> Manifest:
    """Build one with everything taken."""
    config = DatasetConfig(
        max_tool_tokens=100_000,
        format=style,
        stages=(Stage.T1, Stage.T2),
        min_recall=0,
        tokenizer=tokenizer,
        workers=1,
    )
    return build_dataset(talks() if samples is None else samples, out, config, [SOURCE])


def rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]
