"""What the egress gate and the ledger cost a reply, beside packing it and reading it at the server.

python benchmarks/gate.py
python benchmarks/gate.py --repeats 200

CPU-seconds of this process for one reply of training, each part measured in turns with the others
in one run, the least of all repeats; the ratio is what holds on a busy machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from flwr.app import Message
from overhead import METRICS

from federated.engine.grid import enter_task, give_id
from federated.exchange.gate import Gate
from federated.exchange.ledger import append, bytes_by_kind, payload_of
from federated.exchange.policy import Policy
from federated.exchange.request import Request
from federated.exchange.schema import Schema
from federated.exchange.sharing import Boundary, Release, TensorSpec
from federated.exchange.tally import Tally
from federated.exchange.wire import Order, Report, pack_reply

SIZES = (1_000, 100_000, 2_600_000)
"""Float32 numbers of the model, in ten tensors."""


def parts_of(size: int, ledger: Path) -> dict[str, Callable[[], object]]:
    """Return what is measured of a reply with so many numbers, by name."""
    tensors = {f"weights/w{k}": torch.randn(size // 10) for k in range(10)}
    specs = tuple(TensorSpec.of(name, tensor) for name, tensor in tensors.items())
    schema, release = Schema(specs), Release(tensors)
    report = Report("a", "train", "current", 100, dict.fromkeys(METRICS, 1.0))
    request = Request("train", {}, Boundary(specs, ()), True, True, images={"a": 100})
    message = request.message(1, Order("m", 0, 1, "a", "/run", "c"))
    give_id(message, "1")
    gate = Gate(Policy(), schema, ("a",), lambda site, split: 50)
    reply: Message = pack_reply(message, release, [report])

    def noted() -> None:
        payload = payload_of(reply.content)
        facts = {"round": 1, "action": "train", "bytes": bytes_by_kind(reply.content, schema)}
        append(ledger, {**facts, "tensors": payload.tensors}, sync=False)

    return {
        "pack": lambda: pack_reply(message, release, [report]),
        "gate": lambda: gate.passed("train", reply.content),
        "ledger": noted,
        "server": lambda: Tally(request).take(message, reply),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    repeats = parser.parse_args().repeats
    enter_task()
    print("numbers   pack ms  gate ms  ledger ms  server ms  (gate + ledger) / (pack + server)")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            parts = parts_of(size, Path(folder) / "ledger.jsonl")
            best = dict.fromkeys(parts, float("inf"))
            for _ in range(repeats):
                for name, work in parts.items():
                    start = time.process_time()
                    work()
                    best[name] = min(best[name], time.process_time() - start)
        pack, gate, ledger, server = (1e3 * seconds for seconds in best.values())
        ratio = (gate + ledger) / (pack + server)
        print(f"{size:9d}  {pack:7.2f}  {gate:7.2f}  {ledger:9.2f}  {server:9.2f}  {ratio:10.2f}")


if __name__ == "__main__":
    main()
