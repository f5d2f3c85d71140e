"""Keys: where they come from, how they are sent, and that they turn up nowhere else."""

import asyncio
import base64
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from scripted_server import answer, serving

from sera.cli.teacher import teacher
from sera.errors import ConfigError, SeraError
from sera.records import Message
from sera.runs.ledger import SpendingLimits, open_ledger
from sera.settings import convert, to_tree
from sera.teachers.contract import ChatRequest
from sera.teachers.remote import Endpoint, RemoteConfig, RemoteTeacher

KEY = "sk-test-0123456789abcdef"
HELLO = ChatRequest(messages=(Message(role="user", content="hello"),))


def ask(config: RemoteConfig, path: Path) -> RemoteTeacher:
    with open_ledger(path, SpendingLimits(), None) as ledger:
        remote = RemoteTeacher(config, ledger)

        async def main() -> None:
            async with remote:
                await remote.complete(HELLO)

        try:
            asyncio.run(asyncio.wait_for(main(), 20))
        except SeraError as problem:
            (path.parent / "error.txt").write_text(f"{problem!r} {problem} {problem.__cause__!r}")
        return remote


@pytest.mark.parametrize(
    ("dialect", "query", "header", "value"),
    [
        ("chat", "", "authorization", f"Bearer {KEY}"),
        ("chat", "?api-version=2024-10-21", "api-key", KEY),
        ("anthropic", "", "x-api-key", KEY),
    ],
)
@pytest.mark.parametrize("from_file", [False, True])
def test_it_is_sent_as_the_server_wants_it(
    dialect: str,
    query: str,
    header: str,
    value: str,
    from_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("SERA_API_KEY", "sk-another-one" if from_file else KEY)
    with serving(answer()) as server:
        base_url = f"{server.base_url}/openai/deployments/d{query}"
        config = RemoteConfig(
            base_url=base_url,
            model="m",
            retries=0,
            dialect=dialect,
            key_file=tmp_path / "key" if from_file else None,
        )  # type: ignore[arg-type]
        ask(config, tmp_path / "ledger.jsonl")
    path, headers, _ = server.posts[0]
    assert (
        path
        == f"/v1/openai/deployments/d/{'messages' if dialect == 'anthropic' else 'chat/completions'}{query}"
    )
    assert {name.lower(): text for name, text in headers.items()}[header] == value
    assert server.gets[0][0] == f"/v1/openai/deployments/d/models{query}"


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
@pytest.mark.parametrize("dialect", ["chat", "anthropic"])
def test_it_turns_up_nowhere(
    status: int,
    dialect: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where a server repeats it in its refusal, as some do, and where our message is cut off in it."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SERA_API_KEY", KEY)
    told = f'{{"error": {{"message": "Incorrect API key provided: {f"{KEY} " * 60}"}}}}'
    with serving((status, {"retry-after": "0"}, told)) as server:
        config = RemoteConfig(base_url=server.base_url, model="m", dialect=dialect, retries=1, patience=0.1)  # type: ignore[arg-type]
        remote = ask(config, tmp_path / "ledger.jsonl")
    lines = [repr(vars(line)) for line in remote._lines]
    written = [file.read_text() for file in tmp_path.iterdir()]
    shown = [
        *lines,
        *written,
        repr(remote),
        repr(vars(remote)),
        repr(config),
        str(to_tree(config)),
        str(remote.settings),
        caplog.text,
        *capsys.readouterr(),
    ]
    assert (tmp_path / "error.txt").exists()
    assert not any(KEY[:9] in text for text in shown)


@pytest.mark.parametrize("given", ["sk-proj-abc", "hf_aBcDeFgHiJkLmNoPq123", "", "A B", "1KEY"])
def test_a_key_in_place_of_a_variable_s_name_is_refused_and_not_repeated(given: str) -> None:
    one, many = {"base_url": "http://x/v1"}, {"endpoints": [{"base_url": "http://x/v1", "key_env": given}]}
    for where in (one | {"key_env": given}, many):
        with pytest.raises(ConfigError, match="put the key into one") as caught:
            convert({"kind": "chat", "model": "m"} | where, RemoteConfig, "settings")
        assert not given or given not in f"{caught.value} {caught.value.__cause__}"
    told = CliRunner().invoke(teacher, ["check", "http://x/v1", "--model", "m", "--key-env", given])
    assert isinstance(told.exception, ConfigError)
    assert not given or given not in f"{told.exception}"


@pytest.mark.parametrize(
    "given", ["SERA_API_KEY", "my_openrouter_api_key_2", "_K8S_PRODUCTIONKEY20260101", "k"]
)
def test_names_of_variables(given: str) -> None:
    assert RemoteConfig(model="m", base_url="http://x/v1", key_env=given).addresses[0].key_env == given


def test_keys_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text(f"{KEY}\n{KEY}\n")
    for name, told in (("missing", "No such file"), ("empty", "empty"), ("two", "no key")):
        endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", key_file=tmp_path / name)
        with pytest.raises(ConfigError, match=told) as caught:
            asyncio.run(RemoteTeacher(RemoteConfig(model="m", endpoints=(endpoint,))).__aenter__())
        assert KEY not in str(caught.value)


SLASHED = "sk-a/b+c9-Qm4Zx8Lp2Rt6Wy"


@pytest.mark.parametrize(
    "written",
    [
        SLASHED.replace("/", "\\/"),
        SLASHED.replace("/", "\\u002f"),
        SLASHED.replace("/", "%2f").replace("+", "%2B"),
        SLASHED.replace("/", "&#x2F;"),
        base64.b64encode(f"Bearer {SLASHED}".encode()).decode(),
        base64.urlsafe_b64encode(f"user:{SLASHED}".encode()).decode(),
        SLASHED.encode().hex(),
        f"{SLASHED[:9]}\n{SLASHED[9:]}",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 503])
def test_it_turns_up_in_no_other_writing(
    status: int, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERA_API_KEY", SLASHED)
    told = f'{{"error": {{"message": "no good: {written}"}}}}'.replace("\n", "\\n")
    with serving((status, {"retry-after": "0"}, told)) as server:
        ask(
            RemoteConfig(base_url=server.base_url, model="m", retries=0, patience=0.1),
            tmp_path / "ledger.jsonl",
        )
    said = (tmp_path / "error.txt").read_text()
    assert "[key]" in said
    assert written[5:] not in said
    assert "Qm4Zx8" not in said


@pytest.mark.parametrize("status", [301, 307])
def test_it_turns_up_in_no_new_address(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_API_KEY", SLASHED)
    with serving((status, {"location": f"/{SLASHED}/v2/chat/completions"}, "")) as server:
        ask(
            RemoteConfig(base_url=server.base_url, model="m", retries=0, patience=0.1),
            tmp_path / "ledger.jsonl",
        )
    said = (tmp_path / "error.txt").read_text()
    assert "/[key]/v2" in said
    assert not any(part in said for part in SLASHED.split("/"))


def test_a_token_in_the_path_of_an_address_is_used_and_turns_up_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "Hq7Zr2Kp9Lm4Xw"
    with serving((404, {}, f"no route /{token}/v1/chat"), answer()) as server:
        base_url = server.base_url.replace("/v1", f"/{token}/v1")
        config = RemoteConfig(base_url=base_url, model="m", retries=0, patience=0.1)
        ask(config, tmp_path / "ledger.jsonl")
        nobody = RemoteConfig(base_url=f"http://127.0.0.1:1/{token}/v1", model="m", retries=0)
        (tmp_path / "more").mkdir()
        ask(nobody, tmp_path / "more" / "ledger.jsonl")
        checked = CliRunner().invoke(teacher, ["check", base_url, "--model", "m", "--time-limit", "5"])
    assert all(path.startswith(f"/{token}/") for path, _, _ in (*server.posts, *server.gets))
    files = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert any("/***/v1/chat/completions: answered 404: no route /[key]/v1/chat" in text for text in files)
    assert not any(token in text for text in (*files, checked.output, *capsys.readouterr()))


@pytest.mark.parametrize(
    "address", ["http://h/v1#q7w8e9r0", "http://h/v1?api-version=Hq7Zr2Kp9Lm4Xw", "http://a@h/v1"]
)
def test_a_key_elsewhere_in_an_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="put it into an environment variable") as caught:
        RemoteTeacher(RemoteConfig(base_url=address, model="m"))
    assert not {"q7w8e9r0", "Hq7Zr2Kp9Lm4Xw"} & set(
        str(caught.value).replace("#", " ").replace("=", " ").split()
    )
