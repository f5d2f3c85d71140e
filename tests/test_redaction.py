"""Redaction: what is recognised, what is left alone, and that nothing else of a text changes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.errors import ConfigError
from sera.records import Message, ToolCall
from sera.redaction import OFF, RedactionConfig, Redactor, clean_message, make_redactor, placeholders
from sera.redaction.shapes import Shape, shapes
from sera.settings import load_config

VALUE = "q7-Hidden/value+91"
ENVIRONMENT = {"ACME_TOKEN": VALUE}
BODY = ["MIIEpAIBAAKCAQEA" + "abCD12+/" * 6, "k9" * 32, "f00=="]
KEY = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *BODY, "-----END RSA PRIVATE KEY-----"])
HIDDEN = "[redacted private-key]"


def redactor(environment: dict[str, str] | None = None, **config: Any) -> Redactor:
    return make_redactor(RedactionConfig(**config), environment=environment or {})


def clean(text: str, environment: dict[str, str] | None = None, **config: Any) -> str:
    return redactor(environment, **config).clean(text)


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.kind)
def test_every_shape_is_found_wherever_it_stands(shape: Shape) -> None:
    text = clean(shape.example)
    secret = next(
        word for word in shape.example.replace("@", ":").split(":") if word.strip() and word not in text
    )
    for around in ("{}", "x = '{}'", "a\n    {}\nb", 'key="{}",', "({})", "+{}", '{{"k": "{}"}}'):
        hidden = clean(around.format(shape.example))
        assert list(placeholders([hidden])) == [shape.kind], hidden
        assert secret.split()[-1] not in hidden


def test_an_ignored_shape_is_let_through() -> None:
    jwt = next(shape for shape in shapes() if shape.kind == "jwt").example
    assert clean(jwt, ignore=("jwt",)) == jwt
    assert clean(KEY, ignore=("private-key",)) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "task-management-of-the-disk-and-the-risk-of-it = 1",
        "self.sk_live_migration_helper_for_long_names()",
        ".sk-estimator-doc-link-with-a-long-name { color: red }",
        "git show 3f9a1c0de4b5a6978877665544332211ffeeddcc",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://user:pass@example.com/ postgres://postgres:postgres@db/x redis://:secret@r",
        "f'{scheme}://{user}:{password1}@{host}' 'mysql://%(user)s:%(pass)s@h' 'a://u:$PASS1word@h'",
        "http://example.com:8080/a@b http://[::1]:80/x1@y",
        "headers['Authorization'] = 'Bearer ' + token  # Authorization: Bearer <token>",
        "if text.startswith('-----BEGIN RSA PRIVATE KEY-----'):\n    return parse(text)\n",
        "BEGIN = '-----BEGIN PRIVATE KEY-----'\nEND = '-----END PRIVATE KEY-----'\nvalue = 1\n",
        "hf_hub_download(hf_transfer_is_enabled_for_this)  npm_config_registry  pypi-server",
        "AKIA is the prefix; eyJ is how JSON begins in base64: eyJhbGciOiJIUzI1NiJ9",
        "github_pattern_of_a_rather_long_name_indeed = ghost_writer",
        "class TokenAuthentication: key = 'SECRET_KEY'; password = 'hunter2'",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean(text, {"SOME_TOKEN": "short", "API_KEY": "unset"}) == text


# ── private keys ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lead", ["", "     7\t", "+", "-", " ", "    ", '    "', "server.key:12:", "> "[:0]])
def test_a_private_key_keeps_its_lines_and_what_stands_before_them(lead: str) -> None:
    block = "".join(f"{lead}{line}\n" for line in KEY.split("\n"))
    hidden = "".join(
        f"{lead}{line}\n"
        for line in KEY.replace(BODY[0], HIDDEN).replace(BODY[1], HIDDEN).replace(BODY[2], HIDDEN).split("\n")
    )
    text = f"before = 1\n{block}after = 2\n"
    assert clean(text) == f"before = 1\n{hidden}after = 2\n"


def test_a_private_key_on_one_line() -> None:
    line = json.dumps({"private_key": KEY})
    assert json.loads(clean(line)) == {"private_key": clean(KEY)}


def test_a_private_key_cut_off_at_either_end() -> None:
    head, tail = KEY.split("\n")[:3], KEY.split("\n")[2:]
    assert clean("\n".join([*head, "[… 9 characters left out here …]"])).count(HIDDEN) == 2
    assert clean("\n".join(["$ tail", *tail])) == "\n".join(["$ tail", HIDDEN, HIDDEN, tail[-1]])


def test_headers_of_a_private_key_stay() -> None:
    block = KEY.replace(BODY[0], f"Proc-Type: 4,ENCRYPTED\n\n{BODY[0]}")
    assert "Proc-Type: 4,ENCRYPTED\n\n[redacted" in clean(block)


def test_a_certificate_is_no_secret() -> None:
    certificate = KEY.replace("RSA PRIVATE KEY", "CERTIFICATE")
    assert clean(certificate) == certificate


# ── known values ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("OPENAI_API_KEY", "abcdef123456", True),
        ("apikey", "abcdef123456", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdef123456", True),
        ("GITHUB_TOKEN_2", "abcdef123456", True),
        ("DB_PASSWORD", "h4nD-made.pw!", True),
        ("DB_PASSWORD", "abcdefghijkl", False),
        ("DB_PASSWORD", "abc123", False),
        ("DB_PASSWORD", "a1a1a1a1a1a1a1", False),
        ("SSH_KEY", "/home/me/.ssh/id_ed25519", False),
        ("TOKEN_URL", "https://example.com/1", False),
        ("PASSWORD_HINT", "my 1st dog and me", False),
        ("TOKENIZERS_PARALLELISM", "abcdef123456", False),
        ("MONKEY", "abcdef123456", False),
        ("KEYBOARD", "abcdef123456", False),
        ("PWD", "abcdef123456", False),
        ("HOSTNAME", "abcdef123456", False),
    ],
)
def test_which_variables_are_secret(name: str, value: str, secret: bool) -> None:
    assert (clean(f"x {value} y", {name: value}) == "x [redacted secret] y") is secret


def test_values_are_found_as_they_are_and_escaped() -> None:
    value = 'p"4/ß\\x-y&z1234'
    hide = redactor({"APP_SECRET": value}).clean
    assert hide(f"a{value}b") == "a[redacted secret]b"
    assert hide(json.dumps({"a": value})) == '{"a": "[redacted secret]"}'
    assert hide("?key=p%224%2F%C3%9F%5Cx-y%26z1234") == "?key=[redacted secret]"


def test_named_variables_may_be_weak_and_harmless_ones_are_left(tmp_path: Path) -> None:
    environment = {"ACME": "swordfish", "GPG_KEY": "E3FF2839C048B25C084D"}
    assert clean(
        "swordfish E3FF2839C048B25C084D", environment, variables=("ACME",), harmless=("GPG_KEY",)
    ) == ("[redacted secret] E3FF2839C048B25C084D")
    (tmp_path / "secrets").write_text("blowfish\n\n  starfish \n")
    assert (
        clean("a blowfish, a starfish", file=tmp_path / "secrets")
        == "a [redacted secret], a [redacted secret]"
    )


def test_a_value_of_several_lines_is_found_by_its_lines() -> None:
    hide = redactor({"DEPLOY_KEY": KEY}).clean
    assert hide(f"     2\t{BODY[1]}\n") == "     2\t[redacted secret]\n"
    assert hide("-----END RSA PRIVATE KEY-----") == "-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"variables": ("NOT_THERE",)}, "NOT_THERE is not set"),
        ({"variables": ("TINY",)}, "TINY has fewer than 4"),
        ({"file": Path("/nowhere/secrets")}, "redaction.file /nowhere/secrets"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_without_being_told(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as problem:
        redactor({"TINY": "zq9"}, **config)
    assert "zq9" not in str(problem.value)


def test_settings_name_their_choices() -> None:
    with pytest.raises(ConfigError, match="unknown kinds"):
        load_config(RedactionConfig, pairs=["ignore=['cookies']"])
    with pytest.raises(ConfigError, match="mode"):
        load_config(RedactionConfig, pairs=["mode=maybe"])


# ── the redactor ──────────────────────────────────────────────────────────────────────────────────


def test_placeholders_are_the_same_for_the_same_secret_and_different_for_others() -> None:
    one, other = "ghp_" + "a1B2" * 9, "ghp_" + "c3D4" * 9
    hidden = clean(f"{one} {other} {one}").split("] ")
    assert hidden[0] == hidden[2].rstrip("]") != hidden[1]
    assert clean(one) == clean(one, ENVIRONMENT)
    assert placeholders([clean(f"{one} {other}"), KEY and clean(KEY)]) == {
        "github-token": 2,
        "private-key": 3,
    }


def test_what_can_be_guessed_shows_nothing_of_its_hash() -> None:
    assert clean("postgres://u:abc123@h") == clean("postgres://u:xyz789@h")
    assert clean(VALUE, ENVIRONMENT) == "[redacted secret]"


def test_keys_of_the_teacher_are_known_but_for_placeholders() -> None:
    hide = make_redactor(RedactionConfig(), keys=("kB93-of-no-shape", "EMPTY", ""), environment={}).clean
    assert hide("EMPTY kB93-of-no-shape") == "EMPTY [redacted secret]"


@pytest.mark.parametrize(
    "text",
    [
        "+" + " " * 100_000 + "!",
        "a" * 100_000 + "!",
        "1" * 100_000,
        "://a:" * 20_000,
        "xoxb-" * 20_000,
        "sk-" * 30_000,
        "MIIE" * 30_000,
    ],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    started = time.process_time()
    clean(text)
    clean(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n" * 3)
    assert time.process_time() - started < 2


def test_a_redactor_does_not_show_its_secrets() -> None:
    assert VALUE not in repr(redactor(ENVIRONMENT))


def test_off_lets_everything_through() -> None:
    assert redactor(ENVIRONMENT, mode="off") is OFF
    assert OFF.clean(KEY + VALUE) == KEY + VALUE


def test_a_secret_that_is_a_word_of_placeholders() -> None:
    hide = redactor({"A": "redacted", "B": "secret"}, variables=("A", "B")).clean
    assert hide("a secret is redacted") == "a [redacted secret] is [redacted secret]"
    assert hide(hide("a secret")) == "a [redacted secret]"


PIECES = st.sampled_from(
    [*(shape.example for shape in shapes()), KEY, *BODY, VALUE, "\n", "+", '"', "-----BEGIN PRIVATE KEY-----\n"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=20)).map("".join))
def test_cleaning_twice_changes_no_more_and_lines_stay_lines(text: str) -> None:
    hide = redactor(ENVIRONMENT).clean
    once = hide(text)
    assert hide(once) == once
    assert once.count("\n") == text.count("\n")
    assert VALUE not in once


def test_a_message_stays_valid(tmp_path: Path) -> None:
    arguments = json.dumps({"command": "create", "file_text": f'"{KEY}"\n', "view_range": [1, 2]})
    calls = (
        ToolCall(id="1", name="e", arguments=arguments),
        ToolCall(id="2", name="e", arguments=f"{{'{VALUE}\\"),
    )
    message = Message(role="assistant", content=f"I saw {VALUE}", reasoning=VALUE, tool_calls=calls)
    cleaned = clean_message(message, redactor(ENVIRONMENT))
    assert cleaned.content == "I saw [redacted secret]"
    assert cleaned.reasoning == "[redacted secret]"
    first, second = (call.arguments for call in cleaned.tool_calls)
    assert json.loads(first) == {"command": "create", "file_text": f'"{clean(KEY)}"\n', "view_range": [1, 2]}
    assert second == "{'[redacted secret]\\"


def test_arguments_without_a_secret_stay_as_they_were_written() -> None:
    arguments = '{ "command":"printf \\"a\\u00e9\\\\n\\"" }'
    message = Message(role="assistant", tool_calls=(ToolCall(id="1", name="bash", arguments=arguments),))
    assert clean_message(message, redactor(ENVIRONMENT)) is message


def test_an_ordinary_observation_costs_little() -> None:
    """0.3 ms on a quiet machine; ten times that on a busy one."""
    text = (
        (Path(__file__).read_text("utf-8").replace("://", ":") * 4)
        .encode("ascii", "replace")
        .decode()[:16_384]
    )
    text = "".join(redactor().clean(text).replace("PRIVATE KEY", "public key"))
    hide = redactor(ENVIRONMENT).clean
    times = []
    for _ in range(20):
        started = time.process_time()
        hide(text)
        times.append(time.process_time() - started)
    assert min(times) < 0.003
