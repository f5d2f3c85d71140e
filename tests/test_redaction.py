"""Redaction: what is recognised, what is left alone, and that nothing else of a text changes."""

import base64
import html
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.errors import ConfigError
from sera.records import Message, ToolCall
from sera.redaction import OFF, RedactionConfig, Redactor, clean_message, make_redactor, placeholders
from sera.redaction.addresses import secrets_in, shown
from sera.redaction.shapes import Shape, shapes
from sera.redaction.stored import secrets_of, stored
from sera.settings import REDACTED, load_config

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


@pytest.mark.parametrize("kind", ["google-key", "github-token"])
def test_tokens_behind_one_another_take_time_by_their_length(kind: str) -> None:
    """Each is known for one only once the one before it is gone."""
    example = next(shape for shape in shapes() if shape.kind == kind).example
    token = example + "x" * (259 - len(example) if kind == "github-token" else 0)
    hide = redactor(ENVIRONMENT).clean
    started = time.process_time()
    hidden = hide(f"before\n{token * (400_000 // len(token))}\nafter {VALUE}\n")
    assert time.process_time() - started < 4
    assert example[:8] not in hidden
    assert hide(hidden) == hidden
    assert (hidden[:7], hidden.count("\n"), VALUE in hidden) == ("before\n", 3, False)


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
    """2 ms on a quiet machine, as this text is full of escapes and placeholders; three times that on a busy
    one."""
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
    assert min(times) < 0.006


# ── known values, however they are written ────────────────────────────────────────────────────────

SECRETS = ("wh/Kx-4Tq9+Zr7_Vn2LmB8=", "Mp7qR2sT9uV4wX6yZ1", "a\"b/c\\d'e<f&9gÄhJ8kL7mN6", "x9Y8z7W6")
"""With every sign that something escapes, with none, with all kinds of quotes, and a short one."""


def each(write: Callable[[int], str]) -> Callable[[str], str]:
    """Writes every letter in that way, by its code."""
    return lambda text: "".join(write(ord(letter)) for letter in text)


def bytewise(write: Callable[[int], str]) -> Callable[[str], str]:
    return lambda text: "".join(map(write, text.encode()))


def base64_of(before: bytes = b"", after: bytes = b"", url: bool = False) -> Callable[[str], str]:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    return lambda text: encode(before + text.encode() + after).decode()


WAYS: dict[str, Callable[[str], str]] = {
    "slashes of JSON": lambda text: json.dumps(text).replace("/", "\\/"),
    "codes of JSON": each(lambda code: f"\\u{code:04x}"),
    "capital codes": each(lambda code: f"\\u{code:04X}"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps(text).replace("/", "\\/"))),
    "a URL": lambda text: quote(text, safe=""),
    "a URL in lower case": bytewise(lambda code: f"%{code:02x}"),
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML by number": each(lambda code: f"&#{code};"),
    "HTML by code": each(lambda code: f"&#x{code:X};"),
    "HTML by name": lambda text: html.escape(text).replace("/", "&sol;").replace("+", "&plus;"),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "a shell": shlex.quote,
    "codes of C": bytewise(lambda code: f"\\x{code:02x}"),
    "octal": bytewise(lambda code: f"\\{code:03o}"),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "base64": base64_of(),
    "base64 for URLs": base64_of(url=True),
    "a basic authorization": base64_of(b"someone:"),
    "a bearer": base64_of(b"Bearer ", b"\n"),
    "one byte before": base64_of(b"?", b"??", url=True),
    "two bytes before": base64_of(b"??", b"?"),
    "base64 in lines": lambda text: base64.encodebytes(b"Authorization: Basic " * 4 + text.encode()).decode(),
    "base64 in JSON": lambda text: json.dumps(base64_of(b"u:")(text)).replace("/", "\\/"),
    "base64 in a URL": lambda text: quote(base64_of(b"u:")(text), safe=""),
}
BREAKS = {
    "lines": "{}\n{}",
    "lines of Windows": "{}\r\n    {}",
    "strings": '"{}" \\\n    "{}"',
    "a sum": '"{}" + "{}"',
    "a diff": "+{}\n+{}",
    "numbered lines": "     7\t{}\n     8\t{}",
    "JSON": '{{"a": "{}\\n{}"}}',
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_known_value_is_found_however_it_is_written(secret: str, way: str) -> None:
    hide = redactor({"KEY_OF_IT": secret}, variables=("KEY_OF_IT",)).clean
    written = WAYS[way](secret)
    hidden = hide(f"said 'no': <{written}>\nand left")
    assert "[redacted secret]" in hidden
    assert written not in hidden
    assert hidden.startswith("said 'no': <")
    assert hidden.endswith(">\nand left")
    assert hidden.count("\n") == written.count("\n") + 1


@pytest.mark.parametrize("between", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("secret", SECRETS[:3])
def test_a_known_value_in_pieces_is_found_and_what_parts_them_stays(secret: str, between: str) -> None:
    hide = redactor({"KEY_OF_IT": secret}, variables=("KEY_OF_IT",)).clean
    for cut in (5, 9, len(secret) - 4):
        hidden = hide(between.format(secret[:cut], secret[cut:]))
        assert hidden.count("\n") == between.format("", "").count("\n")
        assert not any(part in hidden for part in re.findall(r"[A-Za-z0-9]{4,}", secret)), hidden


def test_a_very_long_value_is_found_as_quickly() -> None:
    value = "".join(f"{number:x}kQ" for number in range(30_000))
    started = time.process_time()
    hide = redactor({"SERVICE_CREDENTIALS": value}).clean
    text = f"<{value}> {base64_of(b'u:')(value)} {json.dumps(value[:40] + '-' + value[40:])} {value.encode().hex()}"
    assert re.sub(r"\[redacted secret\]", "", hide(text)).strip('dTo6=<> "') == ""
    assert time.process_time() - started < 5


def test_one_letter_a_line_and_one_escape_of_each_kind() -> None:
    hide = redactor({"MY_KEY": SECRETS[1]}).clean
    assert SECRETS[1][0] not in hide("\n".join(SECRETS[1]))
    mixed = "M\\u00707q%522s&#84;9u\\x564w\\130" + "6yZ1"
    assert hide(f"[{mixed}]") == "[[redacted secret]]"


@pytest.mark.parametrize(
    "text",
    [
        "wh Kx 4Tq9",
        "Mp7qR2sT9uV4wX6y and Z1 are not next to each other",
        "x9Y8, z7W6",
        base64.b64encode(b"nothing of all that is in here, only words").decode(),
        "%d%s \\d+ \\u00e4 &amp; \\x1b[0m C:\\new\\table",
    ],
)
def test_what_is_like_a_known_value_is_left(text: str) -> None:
    environment = {f"KEY_{n}": secret for n, secret in enumerate(SECRETS)}
    assert redactor(environment, variables=tuple(environment)).clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "\\u0041" * 200_000,
        "%41" * 300_000,
        "\\" * 500_000,
        "&a" * 300_000,
        "\n\t1" * 200_000,
        SECRETS[1][:-1] * 40_000,
        (SECRETS[1][:9] + " " * 79) * 8_000,
        SECRETS[1] * 30_000,
    ],
    ids=["codes", "percents", "backslashes", "ampersands", "numbers", "beginnings", "gaps", "secrets"],
)
def test_hostile_text_takes_time_by_its_length(text: str) -> None:
    hide = redactor({f"KEY_{n}": secret for n, secret in enumerate(SECRETS)}).clean

    def seconds(part: str) -> float:
        started = time.process_time()
        hide(part)
        return time.process_time() - started

    eighth = max(min(seconds(text[: len(text) // 8]) for _ in range(3)), 0.01)
    assert seconds(text) < 8 * 4 * eighth


def test_passwords_in_addresses_of_the_environment_are_known() -> None:
    """Of a proxy, a database and an index, whatever the variable is called; words are none."""
    environment = {
        "https_proxy": "http://me:pr0xy-Pass@proxy.example:3128",
        "DATABASE_URL": "postgres://postgres:postgres@db/x",
        "PIP_INDEX_URL": "https://packages.example/t0kEn4aQ9xLm2/simple",
    }
    hide = redactor(environment).clean
    assert hide("pr0xy-Pass postgres t0kEn4aQ9xLm2") == "[redacted secret] postgres [redacted secret]"
    assert "pr0xy" in redactor(environment, harmless=("https_proxy",)).clean("pr0xy-Pass")


def test_a_secret_across_the_values_of_arguments_is_hidden_as_well() -> None:
    call = ToolCall(id="1", name="e", arguments=json.dumps({"a": [SECRETS[1][:9], SECRETS[1][9:]]}))
    message = Message(role="assistant", tool_calls=(call,))
    cleaned = clean_message(message, redactor({"MY_KEY": SECRETS[1]})).tool_calls[0].arguments
    assert SECRETS[1][:9] not in cleaned


# ── settings and addresses ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "told", "secrets"),
    [
        ("http://gpu-1:8000/v1", "http://gpu-1:8000/v1", ()),
        ("https://x.example/openai/deployments/gpt-4o?api-version=2024-10-21", "https://x.example/openai/deployments/gpt-4o?api-version=2024-10-21", ()),
        ("https://a:pw0rd9@x.example/v1", "https://***@x.example/v1", ("pw0rd9",)),
        ("https://x.example/Hq7Zr2Kp9Lm4/v1", "https://x.example/***/v1", ("Hq7Zr2Kp9Lm4",)),
        ("https://x.example/oauth2:q7w8e9/p.git", "https://x.example/oauth2:***/p.git", ("q7w8e9",)),
        ("https://x.example/v1?key=q7w8e9#zx81", "https://x.example/v1?key=***#***", ("q7w8e9", "zx81")),
        ("https://x.example/v1?api-version=Hq7Zr2Kp9Lm4", "https://x.example/v1?api-version=***", ("Hq7Zr2Kp9Lm4",)),
        ("https://x.example/123e4567-e89b-12d3-a456-426614174000/", "https://x.example/***/", ("123e4567-e89b-12d3-a456-426614174000",)),
        ("see https://a:pw0rd9@x.example and http://y.example/", "see https://***@x.example and http://y.example/", ("pw0rd9",)),
        ("http://[::1", "http://[::1", ()),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_what_is_secret(
    address: str, told: str, secrets: tuple[str, ...]
) -> None:
    assert shown(address) == told
    assert secrets_in(address) == secrets


@pytest.mark.parametrize(
    "token",
    ["xK_9vT-q2ZwM_b4-LrNc7e", "p3w9k-7tqzx-m2v8c-r4n6d", "QxVbLmRtKzPwNsYdHg"],
)
def test_a_token_in_pieces_or_of_letters_alone_is_one(token: str) -> None:
    """As base64 for URLs makes them, where a sign may stand anywhere."""
    address = f"https://gw.example/{token}/v1"
    assert (shown(address), secrets_in(address)) == ("https://gw.example/***/v1", (token,))
    assert (
        stored({"sandbox": {"environment": {"DEPLOY": token}}})["sandbox"]["environment"]["DEPLOY"]
        == REDACTED
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://gpu:8000/upstream/Qwen3-30B-A3B-Q4_K_M/v1",
        "http://gpu:8000/DeepSeek-R1-0528-Qwen3-8B-GPTQ-Int4/v1",
        "https://x.example/GoogleCloudPlatform/i18n-k8s-e2e/tokenizers-2.0/passwordless2/secretary-2024",
        "https://x.example/InternationalisationWorkingGroup2024/v1",
        "https://x.example/accounts/me/deployments/IPv4-IPv6-NAT64/v1",
        "file:///srv/git/9f86d081884c7d659a2feaa0c55ad015/p.git",
    ],
)
def test_names_in_an_address_stay(address: str) -> None:
    assert (shown(address), secrets_in(address)) == (address, ())


def test_variables_of_the_sandbox_are_stored_if_they_are_plain() -> None:
    plain = {
        "CI": "1",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/opt/lib/python3.11/x",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTEST_ADDOPTS": "-p no:cacheprovider --timeout=300",
        "EMPTY": "",
        "TERM": "xterm-256color",
        "JAVA_TOOL_OPTIONS": "-Xmx512m",
        "TOXENV": "py312-django51",
        "RELATIVE": "src:lib/python3.11",
        "DSN": "sqlite:///db.sqlite3",
        "PATH": "/nix/store/1b9p07z77phvv2hf6gm9f28syp39f1ag-python3-3.11/bin:/usr/bin",
    }
    secret = {
        "DEPLOY": "Qx7-vLm2RtKz94",
        "MY_TOKEN": "simple",
        "DB": "postgres://app:h4nDm4de@db/x",
        "PW": "hunter22hunter",
        "PGPASSWORD": "postgres",
        "TEST_DB": "postgres://postgres:postgres@db/x",
        "SLASHED": "/Kx4Tq9Zr7Vn2LmB8wE=",
    }
    config = {
        "sandbox": {"environment": plain | secret},
        "teacher": {"base_url": "http://h/Qx7vLm2RtKz94/v1"},
    }
    kept = stored(config)
    assert kept["sandbox"]["environment"] == plain | dict.fromkeys(secret, REDACTED)
    assert kept["teacher"]["base_url"] == f"http://h/{REDACTED}/v1"
    assert secrets_of(plain | secret) == (
        "/Kx4Tq9Zr7Vn2LmB8wE=",
        "Qx7-vLm2RtKz94",
        "h4nDm4de",
        "hunter22hunter",
    )
