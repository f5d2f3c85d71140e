"""The three tools of a rollout, behind one call: from a checked call to an observation."""

import msgspec

from sera.agent.calls import Call
from sera.agent.config import AgentConfig
from sera.agent.controls import printed, shown
from sera.agent.editor import Editor
from sera.harness import Profile
from sera.redaction import Redactor, placeholders
from sera.sandboxes.contract import CommandResult, Sandbox
from sera.visible import one_line


class Observation(msgspec.Struct, frozen=True):
    """What a tool answered."""

    text: str
    final: bool = False
    """Whether the work is handed in with this answer."""


class Toolbox:
    """`bash`, `str_replace_editor` and `submit` for one rollout. Names and parameters come from the
    profile's `tools.json`; a tool named there must have a method here. Secrets leave a text before it is
    clipped, so that none is cut in two and missed, and after its escape sequences, which could part one."""

    def __init__(self, sandbox: Sandbox, profile: Profile, config: AgentConfig, redactor: Redactor) -> None:
        self._sandbox = sandbox
        self._profile = profile
        self._config = config
        self._redactor = redactor
        self._edit = Editor(sandbox, profile, config.clip, redactor.clean)
        self._reviewed = False
        self._tools = {"bash": self._bash, "str_replace_editor": self._editor, "submit": self._submit}

    async def use(self, call: Call) -> Observation:
        """Run one call. Raises `SandboxError` if the sandbox is gone."""
        observation = await self._tools[call.name](call)
        if self._redactor.refuses and (secrets := placeholders([observation.text])):
            told = self._profile.say("withheld", secrets=", ".join(f"[redacted {kind}]" for kind in secrets))
            return Observation(told, observation.final)
        return observation

    async def _bash(self, call: Call) -> Observation:
        result = await self._sandbox.run(call.arguments["command"], self._config.tool_timeout)
        return Observation("\n".join(self._describe(result)))

    async def _editor(self, call: Call) -> Observation:
        return Observation(self._clip(await self._edit(call.arguments)))

    async def _submit(self, call: Call) -> Observation:  # noqa: ARG002 - one signature for all
        if self._reviewed:
            return Observation(self._profile.say("submitted"), final=True)
        self._reviewed = True
        diff = shown((await self._sandbox.patch()).replace("\r\n", "\n")).rstrip("\n") or self._profile.say(
            "no_changes"
        )
        return Observation(self._profile.prompt("review", diff=self._clip(diff)))

    def _describe(self, result: CommandResult) -> list[str]:
        """The parts of an observation, in order; what a command printed comes first."""
        say = self._profile.say
        output = printed(result.output).rstrip("\n")
        parts = [self._clip(output, result.dropped_bytes)] if output.strip() else []
        if result.timed_out:
            parts.append(say("timed_out", seconds=f"{self._config.tool_timeout:g}"))
        elif result.limit:
            parts.append(say(result.limit))
        elif not parts and result.exit_code:
            parts.append(say("empty_failed", exit_code=result.exit_code))
        elif not parts:
            parts.append(say("empty"))
        if result.shell_restarted:
            directory = self._redactor.clean(one_line(result.directory)) or self._sandbox.workdir
            parts.append(say("shell_restarted", workdir=directory))
        return parts

    def _clip(self, text: str, already: int = 0) -> str:
        """Without secrets; and leave out the middle of what is longer than the configured number of
        characters, and say how much is missing, with the `already` missing part."""
        text = self._redactor.clean(text)
        excess = len(text) - self._config.clip
        if excess <= 0 and not already:
            return text
        half = min(self._config.clip, len(text)) // 2
        notice = self._profile.say("clipped", characters=max(excess, 0) + already)
        return f"{text[:half]}\n{notice}\n{text[len(text) - half :]}"
