"""What goes out to the Messages API."""

from sera.records import Message, ToolCall
from sera.teachers.anthropic_wire import encode_request
from sera.teachers.contract import ChatRequest

STABLE = {"type": "ephemeral"}
TOOL = {
    "type": "function",
    "function": {"name": "bash", "description": "Run", "parameters": {"type": "object", "properties": {}}},
}


def test_a_rollout() -> None:
    calls = (
        ToolCall(id="call:1", name="bash", arguments='{"command": "ls"}'),
        ToolCall(id="b", name="bash", arguments="{oops", malformed=True),
    )
    messages = (
        Message(role="system", content="s"),
        Message(role="user", content="u"),
        Message(role="assistant", content="", reasoning="hm", tool_calls=calls),
        Message(role="tool", content="", tool_call_id="call:1"),
        Message(role="tool", content="no", tool_call_id="b"),
        Message(role="user", content="well?"),
        Message(role="assistant", content=" "),
        Message(role="user", content="v"),
    )
    body = encode_request(ChatRequest(messages=messages, tools=[TOOL], seed=4), "m", max_tokens=5)
    assert body == {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s", "cache_control": STABLE}],
        "tools": [{"name": "bash", "description": "Run", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "u"}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "b", "name": "bash", "input": {"malformed": "{oops"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "(nothing)"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no"},
                {"type": "text", "text": "well?"},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "(nothing)"}]},
            {"role": "user", "content": [{"type": "text", "text": "v", "cache_control": STABLE}]},
        ],
    }  # fmt: skip


def test_arguments_nested_too_deeply_are_wrapped() -> None:
    deep = '{"x": ' + "[" * 5000 + "]" * 5000 + "}"
    message = Message(role="assistant", tool_calls=(ToolCall(id="a", name="bash", arguments=deep),))
    [turn] = encode_request(ChatRequest(messages=(message,)), "m")["messages"]
    assert turn["content"][0]["input"] == {"malformed": deep}


def test_without_a_system_prompt_the_tools_end_the_stable_prefix() -> None:
    body = encode_request(ChatRequest(messages=(Message(role="user", content="u"),), tools=[TOOL]), "m")
    assert "system" not in body
    assert body["tools"][-1]["cache_control"] == STABLE


def test_a_longer_conversation_begins_with_the_shorter_one() -> None:
    """But for the mark that says where it ends: the cache knows it again."""
    short = (
        Message(role="user", content="u"),
        Message(role="assistant", content="a"),
        Message(role="user", content="v"),
    )
    long = (*short, Message(role="assistant", content="b"), Message(role="user", content="w"))
    first, second = (encode_request(ChatRequest(messages=m), "m")["messages"] for m in (short, long))
    del first[-1]["content"][-1]["cache_control"]
    assert second[: len(first)] == first
