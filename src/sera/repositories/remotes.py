"""Names of remote repositories, and bringing one commit of one here.

A name is a URL (https, http, ssh, git) or the short form `user@host:path`. Credentials before the host are
used and go nowhere else: git gets them through its environment, not its command line, and `redacted` is the
only form that is stored or printed. Anywhere else in a URL git and its helpers would show them on their
command lines, so such a URL is refused. Nothing asks at a terminal; a transfer that stalls or outlives
`FETCH_SECONDS` ends in a `SourceError` that says what to do.
"""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from sera.errors import SourceError
from sera.redaction.addresses import HIDDEN, has_shape, looks_secret, secrets_in, shown_path
from sera.redaction.known import Known
from sera.repositories.git import GitFailed, Local, fetching, run, writing

FETCH_SECONDS = 1800.0
"""Bound on one transfer."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SHORT = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//)[^\s:@]+$")
_NAMES_ONLY = frozenset(
    ("bitbucket.org", "codeberg.org", "dev.azure.com", "git.sr.ht", "gitea.com", "github.com", "gitlab.com")
)
"""Hosts that take no token in a path: there are names, such as `h4ck3r1337` and `secret-santa-2024`."""
_LONG_WORD = re.compile(r"[A-Za-z0-9]{20,}")
_HELPER = (
    '!f() { test "$1" = get && '
    'printf "username=%s\\npassword=%s\\n" "$SERA_GIT_USER" "$SERA_GIT_PASSWORD"; }; f'
)
_NO_SUCH_REVISION = re.compile(
    r"couldn't find remote ref|not our ref|unadvertised object|invalid refspec", re.I
)
_CURES = [
    (
        r"no space left|quota exceeded|file too large|file size limit",
        "the disk of the cache is full: set SERA_CACHE to a folder on a larger one",
    ),
    (
        r"could not resolve host|name or service not known|temporary failure in name",
        "the host is unknown: check the address and the network",
    ),
    (
        r"host key verification",
        "ssh does not know the host's key: connect to it once by hand, then repeat",
    ),
    (
        r"authentication failed|could not read (user|pass)|permission denied|access denied|error: 40[13]",
        "access was refused: check the address, and set up a credential helper, a token or an ssh key",
    ),
    (
        r"not found|does not exist|not appear to be a git repository|error: 404",
        "there is no git repository at this address, or it is not visible to you",
    ),
    (
        r"no end after|timed? out|operation too slow|unreachable|no route|connect",
        "the host cannot be reached or is too slow: check the network, or clone it and name the directory",
    ),
    (
        r"transport .* not allowed|remote helper",
        "this kind of address is not supported: use https, http, ssh, git or file",
    ),
]


def is_remote(source: str) -> bool:
    """Whether the text names a repository elsewhere, rather than a path."""
    return bool(_URL.match(source) or _SHORT.fullmatch(source))


def redacted(source: str) -> str:
    """The name without anything secret: no password, no user of a web address, no query, and nothing in the
    path that looks like a token. Always UTF-8."""
    source = encodable(source)
    parts = _split(source)
    if parts and not _URL.match(source):
        return f"{parts.netloc}:{_shown_path(parts)}"
    if parts is None:
        return re.sub(r"(^|/)[^/@\s]*:[^/@\s]*@", r"\1***@", source)
    user, at, host = parts.netloc.rpartition("@")
    kept = user.partition(":")[0] + at if at and parts.scheme.endswith("ssh") else ""
    return urlunsplit((parts.scheme, kept + host, _shown_path(parts), "", ""))


def _split(source: str) -> SplitResult | None:
    """The parts of a URL and of the short form, which ssh carries; None for any other text."""
    if _SHORT.fullmatch(source):
        host, _, path = source.partition(":")
        return SplitResult("ssh", host, path, "", "")
    return urlsplit(source) if _URL.match(source) else None


def _shown_path(parts: SplitResult) -> str:
    """The path without what looks secret in it. Its last part is the repository's own name, and may look as
    it likes, as that of a gist does, unless it has the shape of a token. So may a path of this machine."""
    path = parts.path.rstrip("/")
    above, slash, name = path.rpartition("/")
    if parts.scheme == "file":
        return parts.path
    if parts.hostname in _NAMES_ONLY:
        above = "/".join(
            HIDDEN if any(map(looks_secret, _LONG_WORD.findall(part))) else _shown_name(part)
            for part in above.split("/")
        )
    else:
        above = shown_path(above)
    return above + slash + _shown_name(name) + parts.path[len(path) :]


def _shown_name(name: str) -> str:
    return HIDDEN if set(":=") & set(unquote(name)) or has_shape(unquote(name)) else name


def encodable(path: str) -> str:
    """A path that can be stored and printed: a byte that is not UTF-8 is written `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def fetch(url: str, revision: str, into: Path) -> tuple[Local, str]:
    """Bring the commit that `revision` names (empty: the remote's HEAD) into a new bare repository.

    Only that commit is asked for; where a server does not serve it by that name, as with a short hash, all
    branches and tags are. Returns the repository and the full hash of the commit. `SourceError` for a URL
    that would show a secret on git's command line.
    """
    _refuse_secrets(url)
    run(["init", "--quiet", "--bare", "--template=", str(into)], env=writing(into), cwd=into.parent)
    local = Local(into)
    try:
        _transfer(url, into, ["--depth=1", "--no-tags"], revision or "HEAD")
        found = local.commit("FETCH_HEAD")
    except GitFailed as failure:
        if not _NO_SUCH_REVISION.search(failure.stderr):
            raise _explained(url, failure) from None
        found = _search(url, revision, local) if revision else ""
    if not found:
        what = f"has no revision {revision!r}" if revision else "is empty: it has no commit to start from"
        raise SourceError(f"the repository {redacted(url)} {what}")
    return local, found


def _refuse_secrets(url: str) -> None:
    parts = _split(url)
    if parts and (parts.query or parts.fragment or _shown_path(parts) != parts.path):
        place = "query" if parts.query else "fragment" if parts.fragment else "path"
        raise SourceError(
            f"the address of the repository {redacted(url)} has a {place} in which a key may stand, and git "
            "would show it on its command line: give a token before the host (https://oauth2:TOKEN@host/…), "
            "or clone it yourself and name the directory"
        )


def _search(url: str, revision: str, local: Local) -> str:
    try:
        _transfer(url, local.git_dir, ["--tags"], "+refs/heads/*:refs/heads/*")
    except GitFailed as failure:
        raise _explained(url, failure) from None
    return local.commit(revision)


def _transfer(url: str, into: Path, options: list[str], what: str) -> None:
    address, extra, secrets = _access(url)
    env = fetching(extra) | secrets
    run(["fetch", "--quiet", "--no-auto-gc", "--no-recurse-submodules", *options, "--", address, what],
        env=env, cwd=into, seconds=FETCH_SECONDS)  # fmt: skip


def _access(url: str) -> tuple[str, list[tuple[str, str]], dict[str, str]]:
    """The address for the command line, and settings and variables that carry the credentials.

    With user and password ours is the only helper; with a user alone, who may be a token or may
    have a password in the user's own helper, ours comes last and answers an empty password.
    """
    parts = urlsplit(url) if _URL.match(url) else None
    if parts is None or "@" not in parts.netloc or parts.scheme not in ("http", "https"):
        return (url if parts is None else _without_password(url)), [], {}
    info, _, host = parts.netloc.rpartition("@")
    user, colon, password = info.partition(":")
    address = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    helper = (
        [("credential.helper", ""), ("credential.helper", _HELPER)]
        if colon
        else [("credential.helper", _HELPER)]
    )
    given = [] if colon else [("credential.username", unquote(user))]
    return (
        address,
        [*helper, *given],
        {"SERA_GIT_USER": unquote(user), "SERA_GIT_PASSWORD": unquote(password)},
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    info, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, info.partition(":")[0] + at + host, parts.path, parts.query, ""))


def _explained(url: str, failure: GitFailed) -> SourceError:
    found = (cure for needle, cure in _CURES if re.search(needle, failure.stderr, re.I))
    cure = next(found, "git could not fetch it")
    said = _cleaned(url, failure.stderr)
    return SourceError(f"the repository {redacted(url)} cannot be fetched: {cure}. git said: {said}")


def _cleaned(url: str, text: str) -> str:
    """What git said, on one line, with the URL's credentials and a proxy's blotted out, however they are
    written.

    Pieces under four characters are kept, as they would blot out half the words; git itself never
    sees them, and the whole URL is replaced first.
    """
    parts = urlsplit(url) if _URL.match(url) else None
    info = parts.netloc.rpartition("@")[0] if parts else ""
    pieces = [info, *info.split(":")] if parts and not parts.scheme.endswith("ssh") else info.split(":")[1:]
    secrets = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) > 3}
    secrets |= {secret for value in os.environ.values() if "://" in value for secret in secrets_in(value)}
    text = re.sub(r"^remote: ?", "", text.replace(url, redacted(url)), flags=re.MULTILINE)
    said = Known(secrets).hide(text, HIDDEN)
    return " ".join(said.split())[:500]
