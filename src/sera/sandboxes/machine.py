"""What sandboxes of namespaces take from this machine, and what to do where it refuses."""

import os
import resource
import sys
from pathlib import Path

import msgspec

from sera.errors import SandboxError
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.inside.spec import HOME, LINKS, Spec
from sera.sandboxes.products import check_patterns, rules
from sera.settings import Config

_COMMAND_USER = 61_000
"""User number of commands when the host process is root; free on systems that follow systemd's ranges."""
_OPEN_FILES = 8192
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
PATCH_SECONDS = 60.0
"""How long one step of git may take for a patch."""
_NO_KEYS = "silent! autocmd VimEnter * call timer_start(200, {-> execute('cquit')})"
"""For vim, which without a terminal draws its screen and waits for keys that cannot come. What it is given to
do, by `-c` or as keys on its input, it has done by then."""
COMMON_ENVIRONMENT = {
    "HOME": HOME,
    "USER": "user",
    "LOGNAME": "user",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TZ": "UTC",
    "PAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "VIMINIT": _NO_KEYS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "GIT_PAGER": "cat",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "user",
    "GIT_AUTHOR_EMAIL": "user@sandbox",
    "GIT_COMMITTER_NAME": "user",
    "GIT_COMMITTER_EMAIL": "user@sandbox",
}


class NamespacesConfig(Config, frozen=True, tag_field="backend", tag="namespaces"):
    """How sandboxes of namespaces are made."""

    limits: Limits = Limits()
    workdir: str = "/testbed"
    """Where the working tree is seen inside."""
    python: Path | None = None
    """Prefix of the interpreter commands use: a virtual environment or an installation. None: the
    one this process runs on, without this process's virtual environment."""
    mounts: tuple[Path, ...] = ()
    """Further host directories, seen read-only at their own path."""
    hidden: tuple[Path, ...] = ()
    """Directories below those, or of the system, that are seen empty: packages of other environments, say."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Further variables for commands."""
    cgroups: bool = True
    """Give each sandbox a control group where this machine allows it: bounds memory that no process
    shows, and shares the processors fairly. False: limits are kept without, as far as they can be."""
    require: str = ""
    """Protections to refuse to work without, by their names in `sera doctor`, with commas between them, e.g.
    `cgroups,seccomp`. They are tried before anything else is done."""
    share_layer: bool = True
    """False: every sandbox copies the tree, as it must where the kernel refuses an overlay."""
    products: tuple[str, ...] = ()
    """Further products of tools to leave out of patches, beside those of `products.toml`: names as in
    `.gitignore` without `**`, e.g. `*.log`, `reports/`, `/out.txt`. With a leading `!`: what is to stay, e.g.
    `!coverage.xml`; `["!*"]` keeps all. What is tracked, or was written by the editor, always stays."""

    def __post_init__(self) -> None:
        check_patterns(self.products)


def make_spec(layer: Layer, config: NamespacesConfig) -> Spec:
    tree = layer.tree.resolve()
    if not (tree / ".git").is_dir():
        raise SandboxError(f"{layer.tree} is no layer: it has no .git directory")
    prefixes = prefixes_of(config.python or Path(sys.base_prefix))
    limits = config.limits
    return Spec(
        tree=str(tree),
        commit=layer.commit,
        workdir=config.workdir,
        prefixes=outside_system([*prefixes, *config.mounts]),
        python=_interpreter(prefixes),
        environment=COMMON_ENVIRONMENT | {"PATH": _path(prefixes)} | config.environment,
        privileged=os.geteuid() == 0,
        shared=config.share_layer,
        user=tree.stat().st_uid or _COMMAND_USER,
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        disk_bytes=limits.disk_bytes,
        files=limits.files,
        output_bytes=limits.output_bytes,
        read_bytes=limits.read_bytes,
        patch_seconds=PATCH_SECONDS,
        hidden=tuple(map(str, config.hidden)),
        products=rules(config.products),
    )


def prefixes_of(prefix: Path) -> list[Path]:
    """The prefix, and for a virtual environment the installation it was made from."""
    found = [prefix]
    settings = prefix / "pyvenv.cfg"
    if settings.is_file():
        for line in settings.read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                found.append(Path(value.strip()).parent)
    return found


def _interpreter(prefixes: list[Path]) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [prefix / "bin" / name for prefix in prefixes for name in ("python", "python3", version)]
    return str(next((path for path in candidates if path.exists()), "/usr/bin/python3"))


def _is_system(path: Path) -> bool:
    return any(path == top or top in path.parents for top in map(Path, _SYSTEM))


def outside_system(paths: list[Path]) -> list[str]:
    """Each path and what it resolves to, unless the system's directories hold it already."""
    both = [candidate for path in paths for candidate in (path, path.resolve())]
    return list(dict.fromkeys(str(path) for path in both if not _is_system(path)))


def _path(prefixes: list[Path]) -> str:
    own = [str(prefix / "bin") for prefix in prefixes if not _is_system(prefix)]
    return ":".join([*own, LINKS, *_SYSTEM_PATH])


def raise_open_files() -> None:
    """Each sandbox holds a descriptor here: use what the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "set it to 1"),
    ("user/max_user_namespaces", "0", "raise it"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "set it to 0, or give this Python a profile"),
)


def cure() -> str:
    """What most likely forbids it here."""
    for name, forbidding, cure in _SWITCHES:
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text().strip() == forbidding:
            return f"User namespaces are forbidden here by sysctl {name.replace('/', '.')}: {cure}"
    if Path("/.dockerenv").exists():
        options = " ".join(
            f"--security-opt {name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")
        )
        return f"Inside a container, user namespaces and a fresh /proc need {options}"
    return "Linux 5.12 or later with user namespaces is needed"
