"""Reading shell text for the audit: simple commands, without what is merely quoted.

    cd /tmp && grep "curl http" x.md | head; timeout 9 git -C src log -p
        ─►  cd /tmp     grep x.md     head     git log -p

Not a shell: variables, functions and loops are not followed. Quoting keeps a text one word, so
`echo "pip install x"` is an `echo`. The body of a here-document belongs to its command; the pattern of a
search is left out. Text that cannot be read as shell is cut at its separators.
"""

import re
import shlex
from collections.abc import Iterator

import msgspec

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n(.*?)(?:\n[ \t]*\2[ \t]*(?=\n|\Z)|\Z)", re.DOTALL)
_PUNCTUATION = "();<>|&\n"
_WRAPPER = re.compile(r"sudo|time|nice|nohup|exec|command|env|xargs|timeout|then|do|else|if|!")
_SEARCHERS = {"grep", "egrep", "fgrep", "rg", "ag", "sed", "awk"}
_SPEAKERS = {"echo", "printf"}
_SHELLS = {"bash", "sh"}
_PYTHON = re.compile(r"python[\d.]*|pypy3?|ipython")
_GIT_OPTIONS = re.compile(r"--?(?:no-pager|paginate|p|P|bare|no-replace-objects|git-dir=\S*|work-tree=\S*)")
_DEEPEST = 3


class Command(msgspec.Struct, frozen=True):
    """One simple command."""

    words: tuple[str, ...]
    """Its program, without a folder, and its arguments, without redirections."""
    code: str = ""
    """Python that it is given to run."""

    @property
    def text(self) -> str:
        """The words with a space between them."""
        return " ".join(self.words)


def commands(text: str, depth: int = 0) -> Iterator[Command]:
    """The simple commands of a shell text, in order; those given to another shell too."""
    text, bodies = _without_heredocs(text)
    for words in _split(text):
        command = _command(words, bodies)
        if command.words:
            yield command
        for inner in _inner(words, command, bodies) if depth < _DEEPEST else ():
            yield from commands(inner, depth + 1)


def _without_heredocs(text: str) -> tuple[str, dict[str, str]]:
    """The text with a mark in the place of each here-document, and their bodies by mark."""
    bodies: dict[str, str] = {}

    def take(found: re.Match[str]) -> str:
        mark = f"__heredoc_{len(bodies)}__"
        bodies[mark] = found[4]
        return f" {mark} {found[3]}"

    return _HEREDOC.sub(take, text), bodies


def _split(text: str) -> Iterator[list[str]]:
    """Words of each simple command; redirections stay as words that nobody looks for."""
    text = re.sub(r"(?m)^[ \t]*#.*$", "", text.replace("\\\n", " "))
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=_PUNCTUATION)
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
        tokens = list(lexer)
    except ValueError:
        yield from (part.replace('"', " ").replace("'", " ").split() for part in re.split(r"[;&|\n]+", text))
        return
    words: list[str] = []
    for token in tokens:
        if set(token) <= set(_PUNCTUATION) and not {"<", ">"} & set(token):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _command(words: list[str], bodies: dict[str, str]) -> Command:
    words = _unwrapped([word for word in words if not set(word) <= set("<>&|")])
    given = "\n".join(bodies[word] for word in words if word in bodies)
    words = [word for word in words if word not in bodies]
    if not words:
        return Command(())
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if _PYTHON.fullmatch(program):
        code = arguments[arguments.index("-c") + 1 :][:1] if "-c" in arguments else [given]
        return Command(("python", *(word for word in arguments if word not in code)), "".join(code))
    if program == "git":
        arguments = _without_git_options(arguments)
    elif program in _SEARCHERS:
        arguments = _without_pattern(arguments)
    elif program in _SPEAKERS:
        arguments = []
    return Command((program, *arguments))


def _unwrapped(words: list[str]) -> list[str]:
    """Without assignments and wrappers such as `timeout 10` before the program."""
    wrapped = False
    for n, word in enumerate(words):
        if _WRAPPER.fullmatch(word):
            wrapped = True
        elif not re.match(r"\w+=", word) and not (wrapped and re.match(r"-|\d", word)) and word != "$":
            return words[n:]
    return []


def _without_git_options(arguments: list[str]) -> list[str]:
    rest = list(arguments)
    while rest and (rest[0] in ("-C", "-c") or _GIT_OPTIONS.fullmatch(rest[0])):
        rest = rest[2:] if rest[0] in ("-C", "-c") else rest[1:]
    return rest


def _without_pattern(arguments: list[str]) -> list[str]:
    """Without what is searched for: what follows `-e`, or the first word that is no option."""
    if "-e" in arguments:
        return [word for n, word in enumerate(arguments) if not (n and arguments[n - 1] == "-e")]
    first = next((n for n, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    return arguments[:first] + arguments[first + 1 :]


def _inner(words: list[str], command: Command, bodies: dict[str, str]) -> Iterator[str]:
    """Shell text inside a command: given to `bash -c` or `bash <<EOF`, or substituted in a string."""
    if command.words[:1] and command.words[0] in _SHELLS:
        if "-c" in words:
            yield from words[words.index("-c") + 1 :][:1]
        yield from (bodies[word] for word in words if word in bodies)
        return
    for word in words:
        yield from re.findall(r"\$\(([^()]+)\)", word) if word not in bodies else ()
