"""The user's own index settings reach uv, whichever program they were made for."""

import os
import sys
from pathlib import Path

import pytest

from sera.environments import indexes
from sera.environments.commands import CommandFailed, Log, run

OWN = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_settings_of_pip_are_handed_to_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert indexes.for_uv("") == {}
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://in.example/simple\nextra-index-url =\n  https://a.example\n  https://b.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    found = indexes.for_uv("")
    assert found["UV_DEFAULT_INDEX"] == "https://in.example/simple"
    assert found["UV_INDEX"] == "https://a.example https://b.example"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert indexes.for_uv("")["UV_DEFAULT_INDEX"] == "https://env.example/simple"


def test_what_is_set_for_uv_comes_first_and_the_setting_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example")
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example")
    assert indexes.for_uv("") == {}
    assert indexes.for_uv("https://told.example")["UV_DEFAULT_INDEX"] == "https://told.example"
    assert indexes.for_pip("") == {}
    assert indexes.for_pip("https://told.example")["PIP_INDEX_URL"] == "https://told.example"


def test_what_a_program_says_of_an_address_s_secrets_is_in_no_log(tmp_path: Path) -> None:
    """Of an index and a proxy, also where it says them in its own way."""
    given = {
        "UV_DEFAULT_INDEX": "https://me:in/d3x-Pass@in.example/t0kEn4aQ9xLm2/simple".replace("n/d", "n%2Fd"),
        "HTTPS_PROXY": "http://pr0xy:9rQ-word@proxy.example:1",
    }
    script = "import base64, os\nfor v in ('UV_DEFAULT_INDEX', 'HTTPS_PROXY'): print(os.environ[v], repr(os.environ[v]))"
    script += "\nprint(base64.b64encode(b'me:in/d3x-Pass').decode(), 'in\\\\/d3x-Pass', '9rQ-word'); exit(3)"
    log = Log(tmp_path / "log")
    with pytest.raises(CommandFailed) as caught:
        run([sys.executable, "-c", script], log, given)
    for text in (log.path.read_text().partition("exit(3)")[2], caught.value.output, str(caught.value)):
        assert "***" in text
        assert not any(
            secret in text for secret in ("d3x-Pass", "t0kEn4aQ9xLm2", "9rQ-word", "bi9kM3gtUGFzc")
        )
