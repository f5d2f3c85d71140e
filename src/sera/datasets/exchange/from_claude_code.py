"""Sessions of Claude Code, `~/.claude/projects/…/SESSION.jsonl`: one line an event, the lines a tree.

    {"type": "user" or "assistant", "uuid": …, "parentUuid": …, "sessionId": …, "message": {…}, …}

- `message` is of Anthropic's form. The blocks of one answer stand in several lines with one `message.id`:
  they become one message again, calls that were made at once and their results included.
- A line's parent is what the model had read before. Where the user went back, a line has two children: the
  branch that ends last is the conversation, and the lines of the others are counted.
- A compaction begins a new tree: what follows it is a conversation of its own, which opens with the summary.
  The one before it ended because its context was full.
- Lines of a sub-agent (`isSidechain`) are another conversation. In a file of their own they are taken as one,
  else counted. So are lines of other types (titles, snapshots of files, progress), and answers that the
  program made up itself when a request failed.
- A line that cannot be read costs itself; what names it as its parent begins another conversation.

Lines of which none has a parent in the file are read in their order, such as those that `claude -p` prints as
a stream. The system prompt and the tools are not in the file.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.blocks import Wire, read_message
from sera.datasets.exchange.lines import MOST, lines_of
from sera.datasets.exchange.trajectory import (
    Document,
    Reason,
    Refusal,
    Trajectory,
    answered,
    json_document,
    lose,
)
from sera.formats.servers import Tools
from sera.records import End, Message

_MARKS = frozenset(
    {"uuid", "parentUuid", "sessionId", "session_id", "leafUuid", "messageId", "parent_tool_use_id"}
)
_SYNTHETIC = "<synthetic>"


class _Said(Wire, frozen=True):
    id: str | None = None
    model: str | None = None


class _Line(msgspec.Struct):
    type: str
    uuid: str | None = None
    parentUuid: str | None = None
    sessionId: str | None = None
    agentId: str | None = None
    isSidechain: bool | None = None
    session_id: str | None = None
    parent_tool_use_id: str | None = None
    """As `claude -p --output-format stream-json` prints them; the second says that a sub-agent speaks."""
    isCompactSummary: bool | None = None
    isApiErrorMessage: bool | None = None
    subtype: str | None = None
    message: msgspec.Raw = msgspec.Raw()
    number: int = 0
    """Of the line in its file."""
    said: _Said | None = None
    """Its message, if somebody speaks in it."""


class _Tree(msgspec.Struct):
    """The lines of one conversation, in the order of the file."""

    lines: list[_Line]
    path: list[_Line]
    """From its root to the line that was said last."""
    compacted: bool
    """Whether another one goes on with a summary of it."""


def looks_claude_code(found: Any) -> bool:
    """Whether a line is of such a file."""
    return isinstance(found, dict) and isinstance(found.get("type"), str) and bool(_MARKS & found.keys())


def read_claude_code(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    lines: list[_Line] = []
    if file.stat().st_size > MOST:
        yield Document(
            name, 0, partial(_broken, Refusal(Reason.UNREADABLE, f"it has more than {MOST:,} bytes"))
        )
        return
    with file.open("rb") as opened:
        for number, data in lines_of(opened):
            try:
                lines.append(_line(data, number))
            except (Refusal, msgspec.ValidationError) as problem:
                yield Document(name, number, partial(_broken, problem))
    beside: Counter[str] = Counter()
    trees = _trees(_of_the_conversation(lines, beside))
    for number, tree in enumerate(trees):
        lost = Counter() if number else beside
        told = partial(_trajectory, tree, f"#{number + 1}" if number else "", lost)
        yield Document(name, tree.path[0].number, told)


def _line(data: bytes | None, number: int) -> _Line:
    if data is None:
        raise Refusal(Reason.UNREADABLE, f"it has more than {MOST:,} bytes")
    line: _Line = json_document(data, _Line)
    line.number = number
    line.uuid = line.uuid or f"line {number}"
    line.sessionId = line.sessionId or line.session_id
    line.isSidechain = line.isSidechain or line.parent_tool_use_id is not None
    if line.type in ("user", "assistant") and bytes(line.message) not in (b"", b"null"):
        line.said = json_document(bytes(line.message), _Said)
    line.message = msgspec.Raw()
    return line


def _broken(problem: Exception) -> Trajectory:
    raise problem


def _of_the_conversation(lines: Sequence[_Line], beside: Counter[str]) -> Iterator[_Line]:
    """The lines that the conversation is made of: each once, and those of a sub-agent only if there are no
    others. What nobody says in it is counted in `beside`."""
    sub_agent = all(line.isSidechain for line in lines if line.said)
    seen: set[str | None] = set()
    for line in lines:
        if line.uuid in seen:
            lose(beside, ["repeated line"])
        elif line.isSidechain and not sub_agent:
            lose(beside, ["line of a sub-agent"])
        else:
            seen.add(line.uuid)
            if not line.said:
                lose(beside, [f"line {'/'.join(filter(None, (line.type, line.subtype)))}"])
            yield line


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────


def _trees(given: Iterable[_Line]) -> list[_Tree]:
    """The conversations of a file: those lines that have one root, if anybody speaks in them."""
    lines = list(given)
    by_name = {line.uuid: line for line in lines}
    if not any(line.parentUuid in by_name for line in lines):
        return [_Tree(lines, lines, compacted=False)] if any(line.said for line in lines) else []
    roots: dict[str | None, str | None] = {}
    found: dict[str | None, list[_Line]] = defaultdict(list)
    for line in lines:
        found[_root(line, by_name, roots)].append(line)
    spoken = [members for members in found.values() if any(line.said for line in members)]
    return [
        _Tree(members, _path(members, by_name), compacted=_is_summary(following))
        for members, following in zip(spoken, [*spoken[1:], []], strict=True)
    ]


def _is_summary(lines: Sequence[_Line]) -> bool:
    """Whether a conversation goes on where another one was compacted."""
    return any(line.isCompactSummary or line.subtype == "compact_boundary" for line in lines[:3])


def _root(line: _Line, by_name: dict[str | None, _Line], roots: dict[str | None, str | None]) -> str | None:
    """The oldest ancestor's name; of a circle, one of its lines."""
    passed: dict[str | None, None] = {}
    here = line
    while (name := here.uuid) not in roots and name not in passed:
        passed[name] = None
        parent = by_name.get(here.parentUuid)
        if parent is None:
            break
        here = parent
    root = roots.get(name, name)
    roots.update(dict.fromkeys(passed, root))
    return root


def _path(lines: Sequence[_Line], by_name: dict[str | None, _Line]) -> list[_Line]:
    """From the root to what was said last."""
    here: _Line | None = [line for line in lines if line.said][-1]
    path: list[_Line] = []
    seen: set[str | None] = set()
    while here is not None and here.uuid not in seen:
        seen.add(here.uuid)
        path.append(here)
        here = by_name.get(here.parentUuid)
    return path[::-1]


# ── the conversation ──────────────────────────────────────────────────────────────────────────────


def _trajectory(tree: _Tree, suffix: str, beside: Counter[str]) -> Trajectory:
    lost = Counter(beside)
    talk = _Talk(tree, lost)
    first = next((line for line in tree.path if line.sessionId), tree.path[0])
    name = "/".join(filter(None, (first.sessionId, first.agentId if first.isSidechain else "")))
    return Trajectory(
        name=f"{name}{suffix}" if name else "",
        messages=tuple(answered(talk.messages(), lost)),
        end=End.CONTEXT if tree.compacted else None,
        model=talk.model,
        lost=lost,
    )


class _Talk:
    """Puts the messages of a tree together."""

    def __init__(self, tree: _Tree, lost: Counter[str]) -> None:
        self.model = ""
        self._lost = lost
        self._path = [line for line in tree.path if line.said]
        self._used = {id(line) for line in self._path}
        self._spoken = [line for line in tree.lines if line.said]
        self._answers: dict[str, list[_Line]] = defaultdict(list)
        """`message.id` → its lines, also those beside the path: calls made at once are children of each
        other."""
        for line in self._spoken:
            if line.type == "assistant" and line.said and line.said.id:
                self._answers[line.said.id].append(line)

    def messages(self) -> Iterator[Message]:
        """In order, each call followed by its result. Results of calls that were made at once may stand
        beside the path, since the next answer has only one of them for its ancestor."""
        results = self._results_beside()
        owed: dict[str, None] = {}
        given: set[str] = set()
        for message in (*self._on_the_path(), None):
            if message and message.role == "tool":
                if message.tool_call_id in given:
                    lose(self._lost, ["repeated answer"])
                    continue
                given.add(message.tool_call_id)
                owed.pop(message.tool_call_id, None)
            else:
                for identity in [one for one in owed if one in results]:
                    line, result = results.pop(identity)
                    if id(line) not in self._used:
                        self._used.add(id(line))
                        read_message(_said_in(line), self._lost)
                    given.add(identity)
                    yield result
                owed = {}
            if message:
                owed.update((call.id, None) for call in message.tool_calls)
                given -= owed.keys()
                yield message
        if left := sum(id(line) not in self._used for line in self._spoken):
            self._lost["line of another branch"] += left

    def _on_the_path(self) -> Iterator[Message]:
        told: set[str] = set()
        for line in self._path:
            said = line.said
            if said is None or said.id in told:
                continue
            if line.isApiErrorMessage or said.model == _SYNTHETIC:
                lose(self._lost, ["answer of the program"])
                continue
            if line.type == "assistant":
                self.model = self.model or said.model or ""
                if said.id:
                    told.add(said.id)
                    said = self._whole(said, self._answers[said.id])
            yield from read_message(said, self._lost)

    def _whole(self, said: _Said, lines: Sequence[_Line]) -> _Said:
        """An answer with the blocks of all its lines, each once: some versions write the earlier ones
        again."""
        blocks: dict[bytes, Any] = {}
        for line in lines:
            self._used.add(id(line))
            for block in _blocks(line.said):
                blocks.setdefault(msgspec.json.encode(block), block)
        return msgspec.structs.replace(said, content=list(blocks.values()))

    def _results_beside(self) -> dict[str, tuple[_Line, Message]]:
        """By the call."""
        found: dict[str, tuple[_Line, Message]] = {}
        for line in self._spoken:
            if line.type == "user" and line.said and id(line) not in self._used:
                for message in read_message(line.said, Counter()):  # what is lost counts when it is taken
                    if message.role == "tool":
                        found[message.tool_call_id] = line, message
        return found


def _said_in(line: _Line) -> _Said:
    return line.said or _Said(role=line.type)


def _blocks(said: _Said | None) -> list[Any]:
    content = said.content if said else None
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []
