"""Soft Verified Generation by hand: `sera generate` without a run directory, on one screen.

    python recipes/by_hand.py REPO --out pairs.jsonl [--functions 4] [--teacher URL --model NAME]

To be read beside `src/sera/generation/svg.py` and `src/sera/engines/local.py`, and changed at will: this is
the place to try another question, another prompt, another comparison. What it lacks is what the engine is
for: nothing goes on after an interruption, no budget holds, and one pair waits for another.
"""

import argparse
import asyncio
import json
from pathlib import Path

from sera.agent import Agent, AgentConfig, Outcome, run_rollout
from sera.generation.answers import read_block, read_verdict
from sera.generation.demonstrations import load_demonstrations
from sera.generation.recall import compare
from sera.harness import load_profile
from sera.records import Message, Task
from sera.repositories import index_functions, open_snapshot, plan_tasks
from sera.sandboxes import Backend, NamespacesConfig, make_backend
from sera.teachers import RehearsalConfig, RemoteConfig, make_teacher

PROFILE = load_profile()
STYLES = {demonstration.name: demonstration.text for demonstration in load_demonstrations(None)}


async def rollout(agent: Agent, backend: Backend, request: str, seed: int) -> Outcome:
    """One conversation in a sandbox of its own: what was said, and the patch it left."""
    async with backend.sandbox() as sandbox:
        return await run_rollout(agent, sandbox, request, seed)


async def ask(agent: Agent, after: Outcome, question: str, seed: int) -> str:
    """The answer to a question at the end of a rollout's conversation."""
    reply = await agent.ask((*after.messages, Message(role="user", content=question)), seed)
    return reply.message.content


async def pair(task: Task, agent: Agent, backend: Backend) -> dict[str, object]:
    """Both rollouts of a task; without `r` where there is no second one."""
    function = task.function
    concern = PROFILE.categories[task.categories[0]]
    vague = PROFILE.prompt(
        "change", function=function.name, path=function.path, line=function.line, concern=concern
    )
    first = await rollout(agent, backend, vague, task.seed)
    told: dict[str, object] = {"function": function.name, "concern": concern, "p1": first.patch}
    if not first.patch or not read_verdict(await ask(agent, first, PROFILE.prompt("self_check"), task.seed)):
        return told
    style = PROFILE.prompt("pull_request", demonstration=STYLES[task.demonstration])
    text = read_block(await ask(agent, first, style, task.seed))
    second = await rollout(agent, backend, text, task.seed + 1)
    r = compare(first.patch, second.patch).recall
    return {**told, "issue": text, "p2": second.patch, "r": r}


async def main(repository: str, out: Path, functions: int, url: str, model: str) -> None:
    """Write a line for each pair."""
    snapshot = open_snapshot(repository)
    tasks = plan_tasks(
        index_functions(snapshot.tree),
        snapshot.tree_hash,
        categories=tuple(PROFILE.categories),
        demonstrations=tuple(STYLES),
        count=functions,
        seed=0,
        attempts=1,
    )
    config = RemoteConfig(base_url=url, model=model) if url else RehearsalConfig()
    async with make_teacher(config) as teacher, make_backend(NamespacesConfig(), snapshot.layer) as backend:
        agent = Agent(teacher=teacher, profile=PROFILE, config=AgentConfig())
        with out.open("w", encoding="utf-8") as file:
            for task in tasks:
                made = await pair(task, agent, backend)
                print(json.dumps(made), file=file, flush=True)
                print(f"{made['function']}: r = {made.get('r', 'none')}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repository")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--functions", type=int, default=4)
    parser.add_argument("--teacher", default="", help="base URL of an OpenAI-compatible endpoint")
    parser.add_argument("--model", default="")
    given = parser.parse_args()
    asyncio.run(main(given.repository, given.out, given.functions, given.teacher, given.model))
