"""Chat templates: what ours writes, what a stranger's may and may not do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import TOOLS, talk

from sera.datasets.rendering import Template
from sera.datasets.rendering.template import load_template
from sera.errors import DatasetError, UsageError
from sera.formats import FORMATS
from sera.records import Message, ToolCall

USER = [{"role": "user", "content": "Hello <b>é</b>"}]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufdd0\ufdd1"), max_size=40)
calls = st.lists(
    st.tuples(st.sampled_from(["bash", "submit"]), st.dictionaries(texts, texts | st.integers(), max_size=2)),
    max_size=2,
)


def render(source: str, messages: list[dict[str, Any]] = USER, **more: Any) -> str:
    return Template("made", source, {"bos_token": "<s>", "eos_token": "</s>"}).render(messages, **more)


def turns(said: list[tuple[str, str, list[tuple[str, dict[str, Any]]], str]]) -> list[Message]:
    messages = list(talk(0))
    for reasoning, content, used, answer in said:
        made = tuple(
            ToolCall(id=f"call_{n}", name=name, arguments=json.dumps(arguments))
            for n, (name, arguments) in enumerate(used)
        )
        messages.append(Message(role="assistant", content=content, reasoning=reasoning, tool_calls=made))
        messages += [Message(role="tool", content=answer, tool_call_id=call.id) for call in made]
    return messages


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(texts, texts, calls, texts), max_size=3), st.booleans())
def test_chatml_writes_structured_rows_as_the_hermes_format_does(
    said: list[tuple[str, str, list[tuple[str, dict[str, Any]]], str]], as_objects: bool
) -> None:
    """And so a server that is given the template writes what the dataset has."""
    messages = turns(said)
    raw = [dict(turn.row) for turn in FORMATS["raw"].render(messages, TOOLS)]
    for message in raw if as_objects else ():
        for call in message["tool_calls"]:
            function = call["function"]
            call["function"] = {**function, "arguments": json.loads(function["arguments"])}
    hermes = [turn.row for turn in FORMATS["hermes"].render(messages, TOOLS)]
    template = load_template("chatml", {})
    expected = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in hermes)
    assert template.render(raw, TOOLS) == template.render(hermes) == expected
    assert template.render(raw, TOOLS, prompt=True) == expected + "<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>Hello <b>é</b></s>"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "Hello <b>é</b>"}]'),
        ("{% for n in range(9) %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}", "01"),
        ("{%- set ns = namespace(n=1) %}\n{% set ns.n = ns.n + 1 %}\n{{ ns.n ~ '-' ~ none }}", "2-None"),
        ("  {% if tools %}x{% endif %}\n{{ tools is none }}", "True"),
        ("{% generation %}{{ messages[0].content[:5] }}{% endgeneration %}!", "Hello!"),
        (
            "{% if enable_thinking is defined %}x{% endif %}{{ messages[0]['content'].split(' ')[0] }}",
            "Hello",
        ),
        ("{{ messages[::-1] | length }}{{ ','.join(['a', 'b']) }}{{ 'aXb'.replace('X', '-') }}", "1a,ba-b"),
    ],
)
def test_what_templates_of_models_use(source: str, written: str) -> None:
    assert render(source) == written


HOSTILE = {
    "it looks behind objects": "{{ ''.__class__.__mro__ }}{{ messages.__class__.x }}",
    "it changes the conversation": "{{ messages.append(1) }}",
    "it refuses": "{{ raise_exception('no system prompt') }}",
    "it asks for the date": "{{ strftime_now('%Y') }}",
    "it counts for ever": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "it loops over what it was given": "{% set s = 'x' * 99999 %}{% for a in s %}{% for b in s %}{% endfor %}{% endfor %}",
    "it calls itself": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "it repeats a text": "{{ 'x' * 999999999 }}",
    "it doubles a text": "{% set ns = namespace(s='xxxxxxxx') %}{% for n in range(60) %}"
    "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "it pads a text": "{{ 'x'.ljust(999999999) }}",
    "it fills a text up": "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
    "it formats a text": "{{ '%999999999d' % 1 }}",
    "it nests lists": "{% set ns = namespace(l=['xxxxxxxx']) %}{% for n in range(60) %}"
    "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "it is endless": "{{ 'x' }}" * 40_000,
    "it is not Jinja": "{% for %}",
    "it divides by zero": "{{ 1 / 0 }}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_template_is_kept_in_its_bounds(source: str) -> None:
    with pytest.raises(DatasetError, match="chat template made"):
        render(source)


def test_generation_blocks_are_told_and_leave_no_trace() -> None:
    source = "{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}"
    found = Template("made", source, {}).generated(
        [{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}]
    )
    assert found.text == "<ab><c>"
    assert [found.text[a:b] for a, b in found.spans] == ["ab", "c"]


@pytest.mark.parametrize("said", ["\ufdd0", "a\ufdd1b\ufdd0", "\ufdd0\ufdd1"])
def test_no_character_of_a_conversation_is_a_mark_of_ours(said: str) -> None:
    source = "{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}"
    found = Template("made", source, {}).generated([{"role": "user", "content": said}])
    assert found.text == f"<{said}>" == render("<{{ messages[0].content }}>", [{"content": said}])
    assert [found.text[a:b] for a, b in found.spans] == [said]


CALLED = (
    "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}WRITE{% endfor %}{% endfor %}"
)
TAKES = {
    "items of a mapping": ("{% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{% endfor %}", True),
    "a method of a mapping": (
        "{% for k, v in c.function.arguments.items() %}{{ k }}{{ v }}{% endfor %}",
        True,
    ),
    "as JSON": ("{{ c.function.arguments | tojson }}", True),
    "either": (
        "{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}",
        True,
    ),
    "between texts": ("{{ '{' + c.function.arguments + '}' }}", False),
    "printed": ("{{ c.function.arguments }}", False),
    "a text is asked for": (
        "{{ c.function.arguments if c.function.arguments is string else raise_exception('no text') }}",
        False,
    ),
    "not at all": ("", True),
}


@pytest.mark.parametrize(("written", "objects"), TAKES.values(), ids=TAKES)
def test_arguments_come_as_the_template_takes_them(written: str, objects: bool) -> None:
    template = Template("made", CALLED.replace("WRITE", written), {})
    assert template.takes_objects is objects
    known = {"path": "/é", "lines": [1, 2]}
    text = json.dumps(known, ensure_ascii=False)
    for arguments in (known, text):
        call = template.call({"id": "x", "function": {"name": "view", "arguments": arguments}})
        assert call["function"]["arguments"] == (known if objects else text)


@pytest.mark.parametrize("arguments", ["{bad", '["a"]', '"ls"', '{"a": "\\ud800"}', "[" * 5000, ""])
def test_arguments_that_are_no_object_stay_as_they_are(arguments: str) -> None:
    template = load_template("chatml", {})
    call = {"id": "x", "function": {"name": "bash", "arguments": arguments}}
    assert template.call(call) == call


def test_where_a_template_is_read_from(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "one"}))
    assert load_template(str(tmp_path), {}).source == "one"
    named = [{"name": "default", "template": "two"}, {"name": "tool_use", "template": "three"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert load_template(str(config), {}).source == "three"
    (tmp_path / "chat_template.jinja").write_text("four")
    assert load_template(str(tmp_path), {}).source == "four"
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("five")
    assert load_template(str(tmp_path), {}).source == "five"


def test_templates_of_older_folders(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": {"default": "one"}}))
    assert load_template(str(tmp_path), {}).source == "one"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "two"}))
    assert load_template(str(tmp_path), {}).source == "two"


def test_what_is_no_file_is_not_read() -> None:
    with pytest.raises(UsageError, match="is no file"):
        load_template("/dev/zero", {})


def test_a_folder_without_a_template_says_so(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no chat template"):
        load_template(str(tmp_path), {})


@pytest.mark.parametrize("given", ["reasoning_content", "thinking", "reasoning"])
@pytest.mark.parametrize("read", ["reasoning_content", "thinking"])
def test_reasoning_has_each_name_that_templates_read(given: str, read: str) -> None:
    message = {"role": "assistant", "content": "Done.", given: "So it is."}
    assert render(f"{{{{ messages[0].{read} }}}}", [message]) == "So it is."
