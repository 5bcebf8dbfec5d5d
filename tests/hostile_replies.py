"""Replies that no honest site sends, and what becomes of them; as a script it prints the counts.

Each is put to a ``Tally`` between two honest replies: it must be left out with a fixed sentence,
and the sum and the reports must be those of the honest sites, to the bit.
"""

import sys
from collections import Counter

import numpy as np
import torch
from flwr.app import Message
from hostile_cases import CASES
from hostile_spoils import Spoil, W

from federated.engine.grid import enter_task, give_id
from federated.exchange.replies import Refusal
from federated.exchange.request import Request
from federated.exchange.sharing import Boundary, Release, TensorSpec
from federated.exchange.tally import Tally
from federated.exchange.wire import Order, Report, pack_groups, pack_reply

BOUNDARY = Boundary(
    (TensorSpec("weights/w", (3, 4), "float32"), TensorSpec("weights/n", (), "int64")), ()
)
IMAGES = {"a": 30, "b": 50, "c": 20}
RATIOS = ("auc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "precision")


def order(site: str) -> Order:
    return Order("m", 0, 1, site, "/run", "c")


def request(action: str) -> Request:
    sent = pack_groups({"weights/w": W * 0, "weights/n": np.array(0)})
    return Request(action, sent, BOUNDARY, action == "train", True, images=IMAGES)


def asked(action: str, site: str, node: int) -> Message:
    message = request(action).message(node, order(site))
    give_id(message, f"message to {site}")
    return message


def reports(action: str, site: str) -> list[Report]:
    """Return the reports of an honest site."""
    measured = {**dict.fromkeys(RATIOS, 0.5), "loss": 0.7}
    if action.startswith("evaluate"):
        return [Report(site, split, "current", 9, measured) for split in ("val", "test")]
    if action == "train.finish":
        final = {**measured, "kept_round": 2.0, "chose_kept": 1.0}
        return [Report(site, "val", "kept", 9, measured), Report(site, "val", "final", 9, final)]
    if action == "query.statistics":
        return [Report(site, "all", "data", IMAGES[site], {"class_0": 9.0, "grey_0": 0.5})]
    if action == "query.register":
        return [Report(site, "train", "current", IMAGES[site], {})]
    return [Report(site, "train", "current", IMAGES[site], {"steps": 2, "images_seen": 9})]


def honest(message: Message, site: str) -> Message:
    action = message.metadata.message_type
    tensors = {"weights/w": torch.from_numpy(W * IMAGES[site]), "weights/n": torch.tensor(5)}
    release = Release(tensors) if action == "train" else None
    return pack_reply(message, release, reports(action, site))


def tallied(action: str, spoil: Spoil | None) -> Tally:
    """Return the tally of three sites, b's reply spoilt; None: b is not asked."""
    sent = {site: asked(action, site, node) for node, site in enumerate(IMAGES, 1)}
    back = {site: honest(message, site) for site, message in sent.items()}
    if spoil is not None:
        back["b"] = spoil(back["b"]) or back["b"]
    tally = Tally(request(action))
    for site in sent if spoil is not None else ("a", "c"):
        tally.take(sent[site], back[site])
    return tally


def bits(tally: Tally) -> object:
    """Return all of the sums, as bytes."""
    return {
        k: (total.weight, {n: (h.tobytes(), w.tobytes()) for n, (h, w) in total.parts.items()})
        for k, total in tally.total().items()
    }


SENTENCE = 160


def outcome(action: str, spoil: Spoil) -> str:
    """Return what became of a malformed reply: ``left out`` is the only good outcome."""
    try:
        tally = tallied(action, spoil)
    except Exception:
        return "server died"
    result = tally.results[1]
    if not isinstance(result, Refusal):
        if any(report.site != "b" for report in result.reports):
            return "another hospital falsified"
        return "recorded"
    if not result.reason.isprintable() or len(result.reason) > SENTENCE:
        return "its own text shown"
    alone = tallied(action, None)
    same = [tally.results[0], tally.results[2]] == alone.results and bits(tally) == bits(alone)
    return "left out" if same else "the others changed"


def main() -> int:
    """Print the outcomes, and return 1 if one is not good."""
    enter_task()
    counts: Counter[str] = Counter()
    for action, name, spoil in CASES:
        result = outcome(action, spoil)
        counts[result] += 1
        if result != "left out":
            print(f"{action}: {name}: {result}")
    print(f"{len(CASES)} malformed replies:", ", ".join(f"{n} {k}" for k, n in counts.items()))
    return int(set(counts) != {"left out"})


if __name__ == "__main__":
    sys.exit(main())
