"""Answers to the two questions after a rollout: the self-check and the pull request."""

from sera.teachers.rehearsal.conversation import Conversation, Wording
from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.evidence import find_changes
from sera.teachers.rehearsal.issues import write_issue
from sera.teachers.rehearsal.steps import EDITOR
from sera.teachers.rehearsal.voice import say


def self_check_answer(conversation: Conversation, dice: Dice, rejects: bool) -> str:
    """Yes, unless `rejects` or nothing was changed."""
    names = [finding.qualified for finding in find_changes(conversation.turns, conversation.workdir)]
    edited = any(
        turn.tool == EDITOR and turn.arguments["command"] in ("str_replace", "insert")
        for turn in conversation.turns
    )
    if not edited:
        return _block("no\n" + say(dice, "answers.empty"))
    if rejects:
        return _block("no\n" + say(dice, "answers.no"))
    shown = " and ".join(f"`{name}`" for name in names) or "the code in question"
    reason = say(dice, "answers.yes", names=shown)
    return _block(f"yes\n{reason[:1].upper()}{reason[1:]}")


def pull_request_answer(conversation: Conversation, demonstration: str, dice: Dice, wording: Wording) -> str:
    """An issue text about what the rollout changed."""
    findings = find_changes(conversation.turns, conversation.workdir)
    if findings:
        return _block(write_issue(findings, demonstration, dice))
    change = wording.change.search(conversation.request)
    if change is None:
        return _block(conversation.request)
    return _block(f"`{change['function']}` in `{change['path']}`: {change['concern']}")


def _block(text: str) -> str:
    return f"<output>\n{text}\n</output>"
