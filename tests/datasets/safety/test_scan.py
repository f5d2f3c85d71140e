"""The scan: what is planted anywhere in a sample is found, goes everywhere, and leaves calls that parse."""

import base64
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_datasets import make_dataset, rows
from made_samples import SOURCE, call, pair, sample, talk

from sera.datasets import DatasetConfig, build_dataset
from sera.datasets.safety import Cleaner, SafetyConfig, make_finder
from sera.datasets.safety.arguments import clean_arguments, texts_of
from sera.datasets.safety.rules import Rule, rules
from sera.datasets.safety.steps import scan_step
from sera.datasets.sample import Sample
from sera.errors import ConfigError
from sera.formats import FORMATS
from sera.records import Message, ToolCall
from sera.settings import load_config

RULES = {rule.kind: rule for rule in rules()}
TOKEN = RULES["github-token"].example
HIDDEN = "[redacted github-token 3543]"
KNOWN = "q7-Hidden/value+91"
MAIL = "jane.roe@corp-mail.com"
KEY = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA" * 4, "k9" * 32, "-----END RSA PRIVATE KEY-----"]
)


def cleaner(**settings: Any) -> Cleaner:
    config = SafetyConfig(**settings)
    return Cleaner(config, make_finder(config, {"ACME_TOKEN": KNOWN}))


def with_messages(*messages: Message) -> Sample:
    return sample(messages=(Message(role="system", content="You work."), *messages))


def with_arguments(arguments: str) -> Sample:
    return with_messages(Message(role="assistant", tool_calls=(call(arguments=arguments),)))


def cleaned_arguments(arguments: str, **settings: Any) -> str:
    return cleaner(**settings).clean(with_arguments(arguments)).sample.messages[1].tool_calls[0].arguments


def everything(found: Sample) -> str:
    """All texts of a sample, JSON undone."""
    calls = [call for message in found.messages for call in message.tool_calls]
    texts = [text for one in calls for text in texts_of(one.arguments)]
    spoken = [text for message in found.messages for text in (message.content, message.reasoning)]
    return "\n".join([*spoken, *texts, found.patch, found.issue, json.dumps(found.tools)])


# ── every kind, every place ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.kind)
def test_every_kind_is_found(rule: Rule) -> None:
    redact = dict.fromkeys((rule.kind,), "redact")
    before = with_messages(Message(role="user", content=f"see: {rule.example}\nthere"))
    found = cleaner(kinds=redact).clean(before)
    assert rule.kind in {spotted.kind for spotted in found.spotted}
    assert f"[redacted {rule.kind} " in found.sample.messages[1].content
    assert found.sample.messages[1].content.startswith("see: ")
    assert found.sample.messages[1].content.endswith("\nthere")


@pytest.mark.parametrize("secret", [TOKEN, KNOWN, MAIL], ids=["token", "known", "mail"])
@pytest.mark.parametrize(
    "place",
    [
        lambda s: sample(messages=(Message(role="system", content=f"Use {s} here."), *talk()[1:])),
        lambda s: with_messages(Message(role="user", content=f"({s})")),
        lambda s: with_messages(Message(role="assistant", content=f"I see {s}.")),
        lambda s: with_messages(Message(role="assistant", reasoning=f"hm, '{s}'", content="So:")),
        lambda s: with_arguments(json.dumps({"command": f"echo {s}"})),
        lambda s: with_arguments(json.dumps({s: 1})),
        lambda s: with_arguments(json.dumps({"a": ["\n", {"b": f'"{s}"\n'}]})),
        lambda s: with_arguments('{"command": "echo \\u00' + f"{ord(s[0]):02x}{s[1:]}" + '"}'),
        lambda s: with_arguments('{"command": "echo \\u00' + f'{ord(s[0]):02x}{s[1:]}", "command": "ls"}}'),
        lambda s: with_arguments('{"command": "' + s),
        lambda s: with_arguments('{"command": "\\u00' + f"{ord(s[0]):02x}{s[1:]}"),
        lambda s: sample(patch=f"--- a/x.py\n+++ b/x.py\n@@ -0,0 +1 @@\n+x = '{s}'\n"),
        lambda s: sample(issue=f"It prints {s}"),
        lambda s: sample(tools=[{"function": {"name": "bash", "description": f"like {s} ."}}]),
    ],
    ids=["system", "user", "assistant", "reasoning", "arguments", "key", "nested", "escaped", "twice",
         "malformed", "malformed-escaped", "patch", "issue", "tools"],
)  # fmt: skip
def test_a_planted_value_leaves_every_place(place: Any, secret: str) -> None:
    before = place(secret)
    found = cleaner().clean(before)
    assert secret in everything(before)
    assert secret not in everything(found.sample)
    assert {spotted.action for spotted in found.spotted} == {"redact"}


def test_a_private_key_in_arguments_goes_line_by_line() -> None:
    arguments = json.loads(cleaned_arguments(json.dumps({"file_text": f"x\n{KEY}\n"})))
    lines = arguments["file_text"].split("\n")
    assert lines[1].startswith("-----BEGIN")
    assert lines[2] == lines[3] == "[redacted private-key]"


def test_what_a_tool_showed_goes_where_no_rule_would_see_it() -> None:
    before = with_messages(
        Message(role="tool", content="password = 'f7Kq2ZxW9mLt4RbV'"),
        Message(role="assistant", content="It is f7Kq2ZxW9mLt4RbV then."),
    )
    found = cleaner().clean(before)
    assert found.sample.messages[2].content == "It is [redacted named-secret 0001] then."
    assert found.spotted[0].places == ("tool",)


@pytest.mark.parametrize(
    "broken",
    [
        "{}\n{}", '"{}"\n    "{}"', '"{}" \\\n    "{}"', "'{}' +\n'{}'", "    12\t{}\n    13\t{}",
        '+t = "{}"\n+    "{}"', "{}\r\n{}",
    ],
)  # fmt: skip
def test_a_token_broken_over_lines_is_found_and_lines_stay(broken: str) -> None:
    for where in (18, 26):
        text = broken.format(TOKEN[:where], TOKEN[where:])
        found = cleaner().clean(with_messages(Message(role="tool", content=text)))
        content = found.sample.messages[1].content
        assert content == broken.format(HIDDEN, HIDDEN), content
    in_arguments = json.dumps({"command": broken.format(TOKEN[:20], TOKEN[20:])})
    assert json.loads(cleaned_arguments(in_arguments))["command"] == broken.format(HIDDEN, HIDDEN)


def test_the_word_after_a_whole_token_stays() -> None:
    text = f"{TOKEN}\nnextword of the text"
    found = cleaner().clean(with_messages(Message(role="tool", content=text)))
    assert found.sample.messages[1].content == f"{HIDDEN}\nnextword of the text"


def test_a_known_value_is_found_in_two_pieces() -> None:
    found = cleaner().clean(with_messages(Message(role="tool", content=f"{KNOWN[:10]}\n{KNOWN[10:]}")))
    hidden = "[redacted known-value 0001]"
    assert found.sample.messages[1].content == f"{hidden}\n{hidden}"


@pytest.mark.parametrize("before", ["", "user:", "Bearer "])
def test_a_known_value_is_found_in_another_writing(before: str) -> None:
    written = base64.urlsafe_b64encode(f"{before}{KNOWN}".encode()).decode()
    text = f"sent {written} and {KNOWN.encode().hex()} and {KNOWN.replace('/', '%2F')}"
    found = cleaner().clean(with_messages(Message(role="tool", content=text)))
    content = found.sample.messages[1].content
    assert content.count("[redacted known-value 0001]") == 3
    assert written[-12:-4] not in content
    assert [one.kind for one in found.spotted] == ["known-value"]


# ── what is left alone ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "mail me@example.com, git@github.com, 12+jd@users.noreply.github.com, noreply@acme.io, a@b.test",
        "y = W@x.dot + A@b.T; @decorator.name\nimport name@file.py",
        "version 1.2.3.4, 10.0.0.1, 127.0.0.1, 192.0.2.7, Chrome/91.0.4472.124, ==2.28.1.0, section 3.9.2.1",
        "4111 1111 1111 1111 and 1234567890123456 and 4111111111111112 and 0.4539148803436467",
        "/home/user/x /Users/runner/work /root/.ssh /home/{name}/y",
        "+1234567890,\n+  1, 2\n-4155552671\ncall +1 555 0100",
        "key = 'value'; token = get_token(); SECRET_KEY = os.environ['SECRET_KEY']; password='changeme123'",
        "api_key='your-api-key-0123'; key = 's3_connection'; TOKEN = DIRECT_KEY_128",
        "sha = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'",
        "GB82 WEST 1234 5698 7654 32 and GB33BUKB20201555555556",
        f"{HIDDEN} [redacted e-mail 0001]",
    ],
)
def test_examples_and_ordinary_code_are_no_findings(text: str) -> None:
    before = with_messages(Message(role="user", content=text))
    found = cleaner().clean(before)
    assert found.spotted == ()
    assert found.sample is before


def test_allowed_values_and_ignored_kinds_pass() -> None:
    before = with_messages(Message(role="user", content=f"{MAIL} {TOKEN}"))
    settings = {"allow": (r".*@corp-mail\.com",), "kinds": {"github-token": "ignore"}}
    assert cleaner(**settings).clean(before).sample is before


def test_arguments_keep_their_spelling_where_nothing_is_found() -> None:
    for arguments in ('{"a" :  1, "a": 2}', '{"b": "\\u0041"}', "{bad", "[1e400]", "[" * 3000):
        assert cleaned_arguments(arguments) == arguments
    spaced = '{ "command" :"echo %s" ,"n": 1.50 }'
    assert cleaned_arguments(spaced % TOKEN) == spaced % HIDDEN


def test_a_card_number_as_a_json_number_becomes_text() -> None:
    assert json.loads(cleaned_arguments('{"card": 4539148803436467}')) == {
        "card": "[redacted payment-card 0001]"
    }


# ── what is done ──────────────────────────────────────────────────────────────────────────────────


def test_personal_data_of_the_repository_is_reported_only() -> None:
    before = with_messages(
        Message(role="tool", content=f"# Author: {MAIL}"), Message(role="user", content=MAIL)
    )
    assert cleaner().clean(before).sample is before
    assert [found.action for found in cleaner().clean(before).spotted] == ["report"]
    found = cleaner(repository_personal="redact").clean(before)
    assert found.sample.messages[1].content == "# Author: [redacted e-mail 0001]"
    assert found.sample.messages[2].content == "[redacted e-mail 0001]"


def test_one_placeholder_for_a_value_and_another_for_the_next() -> None:
    text = f"{MAIL} x.y@corp-mail.com {MAIL}"
    found = cleaner().clean(with_messages(Message(role="user", content=text)))
    assert found.sample.messages[1].content == (
        "[redacted e-mail 0001] [redacted e-mail 0002] [redacted e-mail 0001]"
    )


def test_cleaning_twice_changes_no_more() -> None:
    before = with_messages(Message(role="user", content=f"{MAIL} {TOKEN} {KNOWN}\n{KEY}"))
    once = cleaner().clean(before).sample
    again = cleaner().clean(once)
    assert again.sample is once
    assert again.spotted == ()


def test_dropped_samples_are_rejected_and_counted(tmp_path: Path, byte_tokenizer: str) -> None:
    bad = [msgspec.structs.replace(one, messages=talk(2, answer=f"t = {TOKEN}")) for one in pair(0)]
    safety = SafetyConfig(secrets="drop")
    config = DatasetConfig(tokenizer=byte_tokenizer, workers=1, safety=safety)
    manifest = build_dataset([*bad, *pair(1)], tmp_path / "d", config, [SOURCE])
    assert manifest.counts["t2"].rejected == {"unsafe": 1}
    assert manifest.tallies["scan/github-token/drop/rows"] == 1
    assert not any(name.startswith("scan/") for name in manifest.row_tallies)


@pytest.mark.parametrize("style", FORMATS)
def test_a_built_dataset_holds_no_value_and_trains_what_reads_back(
    style: str, tmp_path: Path, byte_tokenizer: str
) -> None:
    leaking = ToolCall(id="c", name="bash", arguments='{"command": "echo ' + TOKEN + " \\n" + MAIL + '"}')
    samples = [sample(0, messages=talk(3, answer=f"saw {TOKEN}", last=leaking))]
    manifest = make_dataset(tmp_path / "d", byte_tokenizer, style, samples)
    text = (tmp_path / "d" / "train.jsonl").read_text("utf-8")
    assert TOKEN not in text
    assert HIDDEN in text
    row = rows(tmp_path / "d" / "train.jsonl")[0]
    assert [message["train"] for message in row["messages"] if message["role"] == "assistant"] == [True] * 3
    assert manifest.untrained_turns == 0
    assert manifest.row_tallies["scan/github-token/redact/values"] == 1
    assert manifest.row_tallies["scan/github-token/redact/in/tool"] == 1
    assert manifest.settings["safety"]["secrets"] == "redact"


def test_placeholders_of_the_run_are_counted_as_earlier() -> None:
    tallies: Counter[str] = Counter()
    scan_step(SafetyConfig(), {})(with_messages(Message(role="tool", content=f"{HIDDEN} {HIDDEN}")), tallies)
    assert tallies == {"scan/github-token/earlier/values": 2}


def test_the_manifest_names_no_secret_and_no_file(tmp_path: Path, byte_tokenizer: str) -> None:
    (tmp_path / "secrets.txt").write_text("hunter22\n", "utf-8")
    safety = SafetyConfig(file=tmp_path / "secrets.txt")
    config = DatasetConfig(tokenizer=byte_tokenizer, workers=1, safety=safety)
    samples = [sample(0, messages=talk(2, answer="pass hunter22"))]
    build_dataset(samples, tmp_path / "d", config, [SOURCE])
    for file in (tmp_path / "d").iterdir():
        content = file.read_text("utf-8")
        assert "hunter22" not in content, file
        assert "secrets.txt" not in content, file


def test_wrong_settings_are_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"unknown kinds.*there are.*e-mail"):
        load_config(SafetyConfig, pairs=['kinds={nonsense="redact"}'])
    with pytest.raises(ConfigError, match="no pattern"):
        load_config(SafetyConfig, pairs=['allow=["("]'])
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE is not set"):
        make_finder(SafetyConfig(variables=("NOT_SET_ANYWHERE",)), {})


# ── properties ────────────────────────────────────────────────────────────────────────────────────

LETTERS = st.text(st.characters(codec="utf-8"), max_size=12)
SECRETS = st.sampled_from([TOKEN, KNOWN, MAIL, "93.184.215.14", "f7Kq2ZxW9mLt4RbV"])
PARTS = st.one_of(
    LETTERS, SECRETS, st.sampled_from(['"', "\\", "\n", " ", "password = '", "'", "</tool_call>"])
)
TEXTS = st.lists(PARTS, max_size=6).map(" ".join)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
CLEANER = cleaner()


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans(), TEXTS)
@example({"a": f"{TOKEN}\\"}, True, "")
def test_arguments_stay_json_and_hold_no_value(
    arguments: dict[str, Any], ascii_only: bool, said: str
) -> None:
    text = json.dumps(arguments, ensure_ascii=ascii_only)
    before = with_messages(Message(role="assistant", content=f" {said} ", tool_calls=(call(arguments=text),)))
    found = CLEANER.clean(before)
    after = found.sample.messages[1].tool_calls[0].arguments
    assert isinstance(json.loads(after), dict)
    left = everything(found.sample)
    for secret in (TOKEN, KNOWN):
        assert secret not in left
    assert CLEANER.clean(found.sample).sample == found.sample


@given(st.text(max_size=60), st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=2))
def test_any_text_as_arguments_is_cleaned_without_failing(text: str, swaps: dict[str, str]) -> None:
    cleaned = clean_arguments(text, lambda part: re.sub("[abc]", lambda m: swaps.get(m[0], m[0]), part))
    try:
        json.loads(text)
    except ValueError:
        return
    json.loads(cleaned)


def test_no_long_line_makes_a_rule_slow() -> None:
    for unit in (
        "a",
        "a@",
        "1.",
        "key=",
        "4539 ",
        "/home/x",
        "+1 415 ",
        '"',
        "GB33",
        "ghp_",
        "\\u0041",
        "-----BEGIN ",
    ):
        text = unit * (300_000 // len(unit))
        begun = time.process_time()
        CLEANER.clean(with_messages(Message(role="tool", content=text)))
        assert time.process_time() - begun < 10, unit
