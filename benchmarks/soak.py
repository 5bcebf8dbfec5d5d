"""Two hospitals of their own on loopback over many rounds, one of them restarted again and again.

    python benchmarks/soak.py --folder runs/soak
    python benchmarks/soak.py --folder runs/soak --rounds 6 --every 3

A SuperLink and two SuperNodes, with TLS and keys, as `consilium deploy --local` starts them. After
every tenth round the second node is stopped, and started again 15 seconds later, as systemd would;
a run that misses it stops, and is begun again with the same `flwr run`. After each round the
memory of every process that stays goes into FOLDER/samples.csv. A run goes on under the code that
it began with, so leave the code alone meanwhile. At the end a simulation of the same settings, in
FOLDER/simulation, is compared bit by bit. Linux only.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
from processes import cpu_of, family, resident_mb
from soaked import differences, slopes

from federated import engine
from federated.commands.deploying import RESTART_SECONDS, write_policy
from federated.config.study import parse
from federated.deploy import processes
from federated.deploy.local import LINK, Deployment, in_venv, opened
from federated.deploy.processes import environment
from federated.deploy.submission import write_run_config
from federated.errors import UserError
from federated.runs.reading import load

ROOT = Path(__file__).resolve().parent.parent
SITES = ("phantom-1", "phantom-2")
LOOK_SECONDS = 0.25
ONLINE_SECONDS = 5.0
PROGRAMS = {
    "/flower-superlink ": "SuperLink",
    "/flower-supernode ": "SuperNode",
    "/flower-superexec ": "SuperExec",
    "/flwr-serverapp ": "ServerApp",
    "/forking.py ": "what forks",
}
"""What stays, by a part of its command line."""
SUBMISSIONS = "submissions.log"
COLUMNS = ("round", "seconds", "who", "program", "mb", "cpu")
MESSAGE = "Start `flwr-clientapp` process"


def settings(rounds: int) -> dict[str, Any]:
    """Return a study whose rounds are short, with everything private that the method has."""
    return {
        "rounds": rounds,
        "methods": "consilium",
        "phantom.sites": len(SITES),
        "phantom.patients": 12,
        "data.image-size": 32,
        "model.name": "convnet",
        "model.width": 0.25,
        "train.batch-size": 8,
        "train.precision": "fp32",
        "engine.threads": 1,
    }


@dataclass
class Soak:
    """What has happened so far.

    Attributes:
        deployment: The processes.
        every: After how many rounds the second node is restarted.
        samples: Rows of what each process takes, written as they are taken.
        submitted: How often the run was begun.
        restarts: How often the node was.
    """

    deployment: Deployment
    every: int
    samples: TextIO
    config: Path
    began: float = field(default_factory=time.monotonic)
    submitted: int = 0
    restarts: int = 0
    ends: list[float] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Run to the end."""
        while not self.has_ended:
            self.await_nodes()
            before, submission = len(self.ends), self.submit()
            while submission.poll() is None:
                self.look()
                time.sleep(LOOK_SECONDS)
            self.look()
            if len(self.ends) == before and not self.has_ended:
                log = self.deployment.folder / SUBMISSIONS
                raise UserError(f"flwr run ended after no round; see {log}.")

    @property
    def has_ended(self) -> bool:
        """Whether the last round is done."""
        return any(event["kind"] == "run-ended" for event in self.events())

    def events(self) -> list[dict[str, Any]]:
        """Return the run's events so far."""
        path = self.deployment.folder / "run" / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = []
        for line in lines:
            with suppress(ValueError):  # the last one may be half written
                found.append(json.loads(line))
        return found

    def submit(self) -> subprocess.Popen[bytes]:
        """Begin the run, or go on with it."""
        self.submitted += 1
        self.say(f"flwr run, {self.submitted}")
        words = in_venv(["flwr", "run", ".", LINK, "--stream", "--run-config", str(self.config)])
        log = self.deployment.folder / SUBMISSIONS
        return processes.start(words, log, environment(self.deployment.home), ROOT)

    def await_nodes(self) -> None:
        """Wait until the SuperLink has both nodes."""
        while True:
            self.look()
            told = self.deployment.flwr("supernode", "list", LINK, "--format", "json")
            if told.count('"online"') == len(SITES) and not self.due:
                return
            time.sleep(ONLINE_SECONDS)

    def look(self) -> None:
        """Sample rounds that have ended, and restart nodes."""
        done = [event["round"] for event in self.events() if event["kind"] == "round-ended"]
        if len(set(done)) > len(self.ends):
            self.ends.append(time.monotonic())
            self.sample(len(self.ends))
            if len(self.ends) % self.every == 0:
                self.restart(SITES[1])
        for name in self.deployment.ended():
            self.due.setdefault(name, time.monotonic() + RESTART_SECONDS)
        for name, when in list(self.due.items()):
            if time.monotonic() > when:
                del self.due[name]
                self.deployment.start_node(name)

    def restart(self, name: str) -> None:
        """Stop a node; it is started again when it is due."""
        self.restarts += 1
        self.say(f"round {len(self.ends)} done; {name} is stopped")
        processes.stop([self.deployment.nodes[name]])
        self.due[name] = time.monotonic() + RESTART_SECONDS

    def sample(self, number: int) -> None:
        """Write down what each process takes that stays."""
        writer, now = csv.writer(self.samples), time.monotonic() - self.began
        for who, program, process in standing(self.deployment):
            mb, cpu = resident_mb(process), cpu_of(process)
            writer.writerow((number, f"{now:.1f}", who, program, f"{mb:.1f}", f"{cpu:.2f}"))
        self.samples.flush()

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"{time.monotonic() - self.began:7.0f} s  {text}", flush=True)


def standing(deployment: Deployment) -> Iterator[tuple[str, str, int]]:
    """Yield whose it is, what it is, and its number, for every process that is no message's."""
    roots = {name: node.pid for name, node in deployment.nodes.items() if node.poll() is None}
    if deployment.superlink:
        roots["server"] = deployment.superlink.pid
    for who, root in roots.items():
        for process, command in family(root).items():
            for part, program in PROGRAMS.items():
                if part in command:
                    yield who, program, process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="new; all of it goes there")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--every", type=int, default=10, help="rounds between restarts")
    parser.add_argument("--cold", action="store_true", help="nodes import for every message")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if folder.exists():
        raise UserError(f"{folder} is there; name a folder that is not.")
    given = settings(arguments.rounds)
    study = parse(given)
    folder.mkdir(parents=True)
    policy = write_policy(folder / "deployment", study)
    own = {"data.cache": str(folder / "cache"), "policy": str(policy)}
    path = folder / "samples.csv"
    hospitals = opened(folder / "deployment", dict.fromkeys(SITES, own), cold=arguments.cold)
    with path.open("w") as samples, hospitals as d:
        csv.writer(samples).writerow(COLUMNS)
        soak = Soak(d, arguments.every, samples, write_run_config(d.folder, given, SITES))
        soak.run()
    report(soak, pd.read_csv(path), folder, given)
    return 0


def report(soak: Soak, samples: pd.DataFrame, folder: Path, given: dict[str, Any]) -> None:
    """Print what was seen."""
    steps = pd.Series(soak.ends).diff().dropna()
    stayed = samples[samples.who == SITES[0]]
    messages = (soak.deployment.hospital(SITES[0]) / "log").read_text().count(MESSAGE)
    spent = stayed.groupby("program").cpu.max().sum()
    print(f"\n{len(soak.ends)} rounds, {soak.restarts} restarts, {soak.submitted} times flwr run")
    print(f"a round: {steps.median():.1f} s (median), {steps.quantile(0.9):.1f} s (90 %)")
    print(f"{SITES[0]}: {messages} messages, {spent / messages:.2f} CPU-s each, its own included\n")
    print("\n".join(slopes(samples)))
    found = load(soak.deployment.folder / "run")
    simulated = {**given, "folder": str(folder / "simulation"), "engine.kind": "inline"}
    expected = engine.run(simulated)
    other = list(differences(found, expected, soak.deployment))
    print(f"\nother than in the simulation: {', '.join(other) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
