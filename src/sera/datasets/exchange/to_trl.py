"""For TRL, whose masks are the trainer's and not the data's.

`trl`        one row a conversation: `messages`, and `tools` where calls are structured. With
             `assistant_only_loss` every assistant turn is trained, so a conversation that holds one which
             must not be is left out.
`trl-turns`  one row a trained turn, as prompt and completion. Nothing is trained that should not be,
             and nothing left out, but a conversation of n turns is written n times.

Structured calls have their arguments as objects, since templates print them as JSON, and text would be
quoted twice. Read the file with `load_dataset("json", …)`: `Dataset.from_list` adds the parameters of
all tools to every call, as nulls. `sft_config.json` holds what must be set for the rows to arrive whole:
TRL's own `max_length` is 1,024 and cuts without a word. Where calls are in the text, a plain template
with the marks that `assistant_only_loss` needs lies beside it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.contract import BuiltDataset, Options, Row
from sera.datasets.lines import json_line
from sera.datasets.manifest import ROWS

UNTRAINED = "untrained_turn"
CONFIG = "sft_config.json"
TEMPLATE = "chat_template.jinja"
_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{- message['content'] + '<|im_end|>' }}{%- endgeneration %}
{{- '\\n' }}
{%- else %}
{{- message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def write_trl(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    return _write(dataset, folder, _conversation, {"assistant_only_loss": True})


def write_trl_turns(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    return _write(dataset, folder, _turns, {"completion_only_loss": True})


def _write(
    dataset: BuiltDataset, folder: Path, split: Callable[[Row], Iterator[Row]], mask: dict[str, bool]
) -> Counter[str]:
    left_out: Counter[str] = Counter()
    with (folder / ROWS).open("wb") as file:
        for row in dataset.rows():
            written = [json_line(part) for part in split(row)]
            file.writelines(written)
            left_out[UNTRAINED] += not written
    config = {"max_length": dataset.manifest.settings["max_tokens"], "packing": False, **mask}
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
    if dataset.format != "raw":
        (folder / TEMPLATE).write_text(_TEMPLATE.rstrip("\n"), "utf-8")
    return +left_out


def _conversation(row: Row) -> Iterator[Row]:
    turns = row["messages"]
    if all(turn["train"] for turn in turns if turn["role"] == "assistant"):
        yield {"messages": [_message(turn) for turn in turns], **_tools(row)}


def _turns(row: Row) -> Iterator[Row]:
    turns = [_message(turn) for turn in row["messages"]]
    for position, turn in enumerate(row["messages"]):
        if turn["train"]:
            yield {"prompt": turns[:position], "completion": [turns[position]], **_tools(row)}


def _tools(row: Row) -> Row:
    return {"tools": row["tools"]} if "tools" in row else {}


def _message(turn: Row) -> Row:
    """A message without the keys that mean nothing in it, for templates that ask whether they are there."""
    kept: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
    for key in ("reasoning_content", "tool_call_id"):
        if turn.get(key):
            kept[key] = turn[key]
    if turn.get("tool_calls"):
        kept["tool_calls"] = [_call(call) for call in turn["tool_calls"]]
    return kept


def _call(call: Row) -> Row:
    """The call with its arguments as an object; text that is no JSON stays text."""
    function = call["function"]
    try:
        arguments = msgspec.json.decode(function["arguments"])
    except msgspec.DecodeError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}
