"""Running a program of ours on this machine to its end, with everything it says kept in a log."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sera.errors import PrepareError, SeraError
from sera.redaction.addresses import HIDDEN, secrets_in, shown
from sera.redaction.known import Known
from sera.repositories.remotes import redacted

_SECONDS = 1800.0
_KEPT = (
    "LD_LIBRARY_PATH", "NETRC", "PATH", "TMPDIR",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
    "all_proxy", "https_proxy", "http_proxy", "no_proxy",
    "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT",
)  # fmt: skip
"""How this machine reaches the network and what it trusts there. Keys of teachers are none of it."""


class CommandFailed(SeraError):
    """A program failed; `output` is what it said."""

    def __init__(self, program: str, output: str) -> None:
        self.output = output.strip()
        last = next((line for line in reversed(self.output.splitlines()) if line.strip()), "it said nothing")
        super().__init__(f"{program} failed: {last.strip()}")


class Log:
    """The log of one build: a file that grows, line-buffered, so that it can be followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, text: str) -> None:
        """Add a text, as lines of its own."""
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text.rstrip("\n") + "\n")


def run(
    argv: Sequence[str | Path],
    log: Log,
    environment: Mapping[str, str] | None = None,
    seconds: float = _SECONDS,
) -> str:
    """Run a program in `/`, where no settings of a repository lie, and without a home, so that none of the
    user's are found either; returns its output.

    Its variables are those of `_KEPT` and `environment`, no others. Raises `CommandFailed` on a non-zero
    exit. However this is left, everything it started is dead. What is secret in the addresses of its
    variables, an index or a proxy, is in none of what it has said.
    """
    given = {**_surroundings(), **(environment or {})}
    words = [str(word) for word in argv]
    log.write("$ " + " ".join(redacted(word) for word in words))
    with subprocess.Popen(
        words,
        cwd="/",
        env=given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            raw, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise PrepareError(
                f"{Path(words[0]).name} took more than {seconds:.0f} seconds: see {log.path}"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    output = shown(_without(given, raw.decode(errors="replace")))
    log.write(output)
    if process.returncode:
        raise CommandFailed(Path(words[0]).name, output)
    return output


def _surroundings() -> dict[str, str]:
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    if (netrc := Path("~/.netrc").expanduser()).is_file():
        kept.setdefault("NETRC", str(netrc))
    return {"HOME": "/nonexistent", "LANG": "C.UTF-8", **kept}


def _without(given: Mapping[str, str], output: str) -> str:
    secrets = {one for value in given.values() if "://" in value for one in secrets_in(value)}
    return Known(secrets).hide(output, HIDDEN)
