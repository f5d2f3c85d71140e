"""Git URLs: what is brought here, what is said when it cannot be, and that secrets stay secret."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from repository_support import git, names, repository

from sera.errors import SourceError
from sera.repositories import open_snapshot
from sera.repositories.remotes import is_remote, redacted


@contextmanager
def server(root: Path, password: str = "") -> Iterator[tuple[str, list[str]]]:
    """git's own HTTP backend over `root`, behind basic authentication if there is a password."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            seen.append(base64.b64decode(given.partition(" ")[2]).decode())
            if password and not seen[-1].endswith(":" + password):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            env = os.environ | {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            }
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            out = subprocess.run(
                ["git", "http-backend"], env=env, input=body, capture_output=True, check=False
            ).stdout
            head, _, content = out.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    work = repository(tmp_path / "proj", {"a.py": "1\n"})
    git(work, "tag", "v1")
    repository(work, {"a.py": "2\n", "b.py": ""}, "second")
    git(work, "clone", "--quiet", "--bare", ".", str(tmp_path / "srv/proj.git"))
    return tmp_path


def test_a_remote_is_fetched_at_any_revision(root: Path) -> None:
    first, second = (git(root / "proj", "rev-parse", name) for name in ("v1", "main"))
    with server(root / "srv") as (host, _):
        url = f"http://{host}/proj.git"
        for revision, commit in (
            (None, second),
            ("v1", first),
            ("main", second),
            (first, first),
            (first[:10], first),
        ):
            snapshot = open_snapshot(url, root / "cache", revision=revision)
            assert (snapshot.origin_commit, snapshot.kind, snapshot.name) == (commit, "git", "proj")
            assert (snapshot.source, snapshot.dirty) == (url, False)
        assert names(snapshot.tree) == {"a.py"}
        with pytest.raises(SourceError, match="no revision 'v9'"):
            open_snapshot(url, root / "cache", revision="v9")
        with pytest.raises(SourceError, match="no git repository at this address"):
            open_snapshot(f"http://{host}/none.git", root / "cache")
        git(root, "init", "--quiet", "--bare", "srv/void.git")
        with pytest.raises(SourceError, match="is empty"):
            open_snapshot(f"http://{host}/void.git", root / "cache")


def test_credentials_are_used_and_forgotten(root: Path) -> None:
    with server(root / "srv", "s3cret/pw") as (host, seen):
        snapshot = open_snapshot(f"http://ann:s3cret%2Fpw@{host}/proj.git", root / "cache")
        assert "ann:s3cret/pw" in seen
        assert snapshot.source == f"http://{host}/proj.git"
        for path in (root / "cache").rglob("*"):
            assert not path.is_file() or b"s3cret" not in path.read_bytes()
        for userinfo in ("", "ann:wr0ngpass@", "t0ken12345@"):
            with pytest.raises(SourceError, match="access was refused") as failure:
                open_snapshot(f"http://{userinfo}{host}/proj.git", root / "cache")
            assert not {"wr0ngpass", "t0ken12345"} & set(
                str(failure.value).replace("'", " ").replace("@", " ").split()
            )
            assert userinfo.rstrip("@").rpartition(":")[2] not in str(failure.value) or not userinfo


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://127.0.0.1:1/x.git", "cannot be reached"),
        ("https://ann:p4ssw0rd@127.0.0.1:1/x.git", "cannot be reached"),
        ("ext::sh -c 'touch owned'", "does not exist"),
        ("gopher://127.0.0.1/x", "not supported"),
        ("file://elsewhere/x.git", "another host"),
        ("http://[broken/x.git", "malformed"),
        ("ann:p4ssw0rd@host/x.git", "does not exist"),
        ("ssh://-oProxyCommand=touch%20owned/x", "cannot be fetched"),
    ],
)
def test_failures_say_what_to_do(
    tmp_path: Path, source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=said) as failure:
        open_snapshot(source, tmp_path / "cache")
    assert "p4ssw0rd" not in str(failure.value)
    assert not (tmp_path / "owned").exists()


def test_names() -> None:
    assert all(map(is_remote, ("https://h/x", "ssh://git@h/x", "git@h:x/y.git", "host:y", "git://h/x")))
    assert not any(map(is_remote, ("/a/b", "a/b", "./a:b/c", "x.tar.gz", "")))
    assert redacted("https://u:p@h:8443/x?token=1#f") == "https://h:8443/x"
    assert redacted("https://TOKEN@h/x") == "https://h/x"
    assert redacted("ssh://git:p@h/x") == "ssh://git@h/x"
    assert redacted("git@h:x/y.git") == "git@h:x/y.git"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://HOST/proj.git?private_token=Hq7Zr2Kp9Lm4Xw", "http://HOST/proj.git"),
        ("http://HOST/proj.git#Hq7Zr2Kp9Lm4Xw", "http://HOST/proj.git"),
        ("http://HOST/oauth2:Hq7Zr2Kp9Lm4Xw/proj.git", "http://HOST/oauth2:***/proj.git"),
        ("http://HOST/Hq7Zr2Kp9Lm4Xw/proj.git", "http://HOST/***/proj.git"),
        ("ssh://git@HOST/Hq7Zr2Kp9Lm4Xw/proj.git", "ssh://git@HOST/***/proj.git"),
    ],
)
def test_a_token_that_git_would_show_on_its_command_line_is_refused(
    address: str, shown: str, tmp_path: Path
) -> None:
    """Nothing is asked of the host: its helper's command line has the whole address."""
    with server(tmp_path) as (host, seen), pytest.raises(SourceError, match="before the host") as caught:
        open_snapshot(address.replace("HOST", host), tmp_path / "cache")
    assert not seen
    assert shown.replace("HOST", host) in str(caught.value)
    assert "Hq7Zr2Kp9Lm4Xw" not in str(caught.value)
    assert redacted(address) == shown


def test_a_name_may_look_like_a_token_where_it_is_the_repository_s_own() -> None:
    for name in (
        "https://gist.example/ann/4f2a9c81d07be3365a1c.git",
        "https://h.example/group/v2/proj-2024.git",
    ):
        assert redacted(name) == name


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/h4ck3r1337/tool.git",
        "https://gitlab.com/team1/secret-santa-2024/app.git",
        "https://dev.azure.com/org/123e4567-e89b-12d3-a456-426614174000/_git/repo",
        "https://h.example/team/tokenizers-2.0/app.git",
        "https://gist.example/4f2a9c81d07be3365a1c/",
        "git@github.com:h4ck3r1337/tool.git",
        "git@h.example:group/sub-group/app.git",
    ],
)
def test_names_that_look_like_tokens_are_no_reason_to_refuse(address: str) -> None:
    assert redacted(address) == address


def test_a_path_of_this_machine_may_look_like_a_token(tmp_path: Path) -> None:
    work = repository(tmp_path / "Hq7Zr2Kp9Lm4Xw5Tb8" / "proj", {"a.py": ""})
    assert open_snapshot(f"file://{work}", tmp_path / "cache").source == f"file://{work}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:1/proj.git&private_token=Hq7Zr2Kp9Lm4Xw", "http://127.0.0.1:1/***"),
        ("http://127.0.0.1:1/oauth2%3AHq7Zr2Kp9Lm4Xw", "http://127.0.0.1:1/***"),
        ("git@127.0.0.1:Hq7Zr2Kp9Lm4Xw/proj.git", "git@127.0.0.1:***/proj.git"),
    ],
)
def test_a_token_in_another_place_is_refused_as_well(address: str, shown: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="before the host") as caught:
        open_snapshot(address, tmp_path / "cache")
    assert shown in str(caught.value)
    assert "Hq7Zr2Kp9Lm4Xw" not in str(caught.value)


@pytest.mark.parametrize("part", ["Hq7Zr2Kp9Lm4Xw5Tb8Nc", "ghp_" + "aB3d" * 9, "oauth2:Hq7Zr2Kp9Lm4"])
def test_a_token_is_one_wherever_it_is_pasted(part: str) -> None:
    assert redacted(f"https://github.com/{part}/tool") == "https://github.com/***/tool"


def test_what_a_server_says_of_a_password_is_hidden_however_it_writes_it(tmp_path: Path) -> None:
    password = "pq/7Zr2+Kp9Lm4Xw"
    said = [
        password.replace("/", "\\/"),
        base64.b64encode(f"ann:{password}".encode()).decode(),
        f"{password[:8]}\n{password[8:]}",
        password.encode().hex(),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "\n".join(said).encode()
            self.send_response(401 if "Authorization" not in self.headers else 500)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://ann:{quote(password, safe='')}@127.0.0.1:{http.server_port}/proj.git"
        with pytest.raises(SourceError, match="cannot be fetched") as caught:
            open_snapshot(url, tmp_path / "cache")
        http.shutdown()
    assert "git said: *** *** ***" in str(caught.value)
    found = [part for one in said for part in (one, one[:8], one[-8:]) if part in str(caught.value)]
    assert not found, str(caught.value)
