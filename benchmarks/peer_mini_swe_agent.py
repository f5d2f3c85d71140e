"""The same scripted rollouts by mini-swe-agent's own classes, in its own environment.

    python3.11 -m venv PEER && PEER/bin/pip install mini-swe-agent==2.4.6
    PEER/bin/python benchmarks/peer_mini_swe_agent.py --concurrent 16 --rollouts 32 [--latency 5]

`DefaultAgent`, `LocalEnvironment` and `DeterministicModel`, one thread a rollout as in its own batch runner;
the model sleeps `latency` seconds. Every rollout works in a copy of the tree, without any isolation: that is
the environment of its kind that costs least. Prints one JSON object.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")

from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.test_models import DeterministicModel, make_output

MODULE = "".join(f"def f{n}(x):\n    y = x + {n}\n    z = y * 2\n    return z\n\n\n" for n in range(50))
COMMANDS = [
    "ls",
    "grep -n 'def f1' bench.py",
    "sed -n 1,60p bench.py",
    "grep -rn f1 . | head",
    "echo 'print(1)' > try.py",
    "cat try.py",
    "sed -i 's/y = x + 1$/y = 1 + x/' bench.py",
    "sed -n 1,20p bench.py",
    "git status --short",
    "rm try.py",
    "git add -A && git diff --cached HEAD",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff --cached HEAD",
]


class SlowModel(DeterministicModel):
    """Answers from a list after a while."""

    latency = 0.0

    def query(self, messages: list[dict], **kwargs: object) -> dict:
        time.sleep(self.latency)
        return super().query(messages, **kwargs)


def roll_out(template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(template, tree)
        outputs = [make_output("", [{"command": command}], cost=0.0) for command in COMMANDS]
        agent = DefaultAgent(
            SlowModel(outputs=outputs, cost_per_call=0.0),
            LocalEnvironment(cwd=str(tree)),
            system_template="You are an engineer.",
            instance_template="Please work.",
        )
        result = agent.run()
        assert result["exit_status"] == "Submitted", result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrent", type=int, default=16)
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    SlowModel.latency = options.latency
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench.py").write_text(MODULE)
        for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@b commit -qm start"):
            subprocess.run(["git", *command.split()], cwd=folder, check=True)
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        with ThreadPoolExecutor(options.concurrent) as pool:
            list(pool.map(roll_out, [Path(folder)] * options.rollouts))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - started
    steps = options.rollouts * len(COMMANDS)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "concurrent": options.concurrent,
                "rollouts": options.rollouts,
                "steps_per_second": steps / seconds,
                "own_cpu_ms_per_step": 1000 * cpu / steps,
                "peak_mib": after.ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
