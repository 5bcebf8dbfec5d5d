"""Orders that no honest server sends, and what a site does; as a script it prints the counts.

Each must be refused with its code, and nothing may change on disk but a log inside the vault's
root. The site is a real one, with images, network and vault.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import TINY
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from hostile_spoils import add, drop, number, put, renamed

from clients.app import app
from clients.site import open_site, open_vault
from federated.config.study import parse
from federated.engine.grid import FIRST_SITE_NODE, context_of, enter_task, give_id
from federated.exchange.fingerprint import code_digest
from federated.exchange.sharing import WEIGHTS, as_group
from federated.exchange.wire import Order, pack_groups, pack_order

BAD_ORDER, BAD_WEIGHTS, NOT_HERE, OTHER_CODE, BAD_VAULT = 1006, 1007, 1008, 1003, 1010
SITES = ("phantom-1", "phantom-2", "phantom-3")

Spoil = Callable[[Message], Message | None]


def field(name: str, value: object) -> Spoil:
    """Return what sets a field of the order."""
    return number("order", name, value)


def action(name: str) -> Spoil:
    def spoil(message: Message) -> None:
        message.metadata.__dict__["_message_type"] = name

    return spoil


def weights(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Return what replaces the first tensor of the weights."""

    def spoil(message: Message) -> None:
        record = message.content.array_records[WEIGHTS]
        name = next(iter(record))
        put(np.ascontiguousarray(change(record[name].numpy().copy())), name)(message)

    return spoil


def one_value(value: float) -> Spoil:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[0] = value
        return array

    return weights(change)


def bytes_of_weights(data: bytes) -> Spoil:
    def spoil(message: Message) -> None:
        name = next(iter(message.content.array_records[WEIGHTS]))
        put(Array("float32", (1,), "numpy.ndarray", data), name)(message)

    return spoil


PATHS = {
    "site": (
        "../../escaped",
        "..",
        ".",
        "/dev/null/escaped",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 5000,
    ),
    "method": (
        "../../escaped",
        "..",
        "",
        "/dev/null/escaped",
        "fedavg/../x",
        "fed\0avg",
        "m" * 5000,
    ),
    "folder": ("", "relative", "../escaped", "a\0b", "/" + "x/" * 5000, "/run\nfolder"),
    "void": ("9-3", "x", "1-2,", "-1", "1--2", "1;2", "1-2-3", "9" * 50, "1-2," * 1_000_000 + "1"),
    "round": (-1, 10**6, 2**62, 1.0, "1"),
    "week": (float("nan"), float("inf"), float("-inf"), -1.0, 1e300, 3, "now"),
    "seed": (-1, -(2**62), 0.0, "0"),
    "newcomer": (1, "yes", 1.0),
    "keep_all": (0, "no"),
    "run": ("..", "../../escaped", "/dev/null", "a/b", "a b", "x" * 5000, 7),
    "after": (-1, 2, 10**9, 0.0, "0"),
    "code": (7, b"x", [1, 2]),
}
CASES: list[tuple[str, Spoil, int]] = [
    *(
        (f"{name} = {str(value)[:30]!r}", field(name, value), BAD_ORDER)
        for name, values in PATHS.items()
        for value in values
    ),
    ("no order", drop("order"), BAD_ORDER),
    ("an empty content", lambda message: message.content.clear(), BAD_ORDER),
    ("an order of metrics", add("order", MetricRecord({"round": 1})), BAD_ORDER),
    ("an order of arrays", add("order", ArrayRecord()), BAD_ORDER),
    ("an empty order", add("order", ConfigRecord()), BAD_ORDER),
    ("an order renamed", renamed("order", "orders"), BAD_ORDER),
    ("a field missing", drop("order", "void"), BAD_ORDER),
    ("a field more", field("weather", "x"), BAD_ORDER),
    ("a run that is a path", field("run", "../escaped"), BAD_ORDER),
    ("a state of a later round", field("after", 5), BAD_ORDER),
    ("a state of a round before any", field("after", -1), BAD_ORDER),
    ("a state that the vault has not", field("after", 1), BAD_VAULT),
    ("another code", field("code", "0" * 64), OTHER_CODE),
    ("a method of another run", field("method", "fedbn"), NOT_HERE),
    ("a seed of another run", field("seed", 7), NOT_HERE),
    ("a round after the last", field("round", 3), NOT_HERE),
    ("a site of another node", field("site", "phantom-2"), NOT_HERE),
    ("all sites where none is pooled", field("site", "(all sites)"), NOT_HERE),
    ("no site", field("site", ""), BAD_ORDER),
    ("training in round 0", field("round", 0), BAD_ORDER),
    ("registration of one site", action("query.register"), BAD_ORDER),
    ("an unknown action", action("train.everything"), 1001),
    ("an action of another kind", action("query.files"), 1001),
    ("a plain query", action("query"), 1001),
    ("no weights", drop(WEIGHTS), BAD_WEIGHTS),
    ("an unknown group", add("evil", ArrayRecord({"w": Array(np.zeros(3))})), BAD_WEIGHTS),
    ("an empty unknown group", add("evil", ArrayRecord()), BAD_WEIGHTS),
    ("weights renamed", renamed(WEIGHTS, "Weights"), BAD_WEIGHTS),
    ("a tensor more", put(np.zeros(3, np.float32), "norm1.running_mean"), BAD_WEIGHTS),
    ("weights of NaN", one_value(np.nan), BAD_WEIGHTS),
    ("weights of infinity", one_value(np.inf), BAD_WEIGHTS),
    ("weights of another shape", weights(lambda array: array.reshape(-1)), BAD_WEIGHTS),
    ("weights of float64", weights(lambda array: array.astype(np.float64)), BAD_WEIGHTS),
    ("weights of strings", weights(lambda array: array.astype("U8")), BAD_WEIGHTS),
    ("weights without bytes", bytes_of_weights(b""), BAD_WEIGHTS),
    ("weights that are no array", bytes_of_weights(b"\x93NUMPY\x01\x00\x01\x00("), BAD_WEIGHTS),
]


class Ward:
    """A node that hosts phantom-1 of a tiny run, with a vault of its own.

    Args:
        folder: Holds the run's folder, the vault and nothing else.
        cache: Of decoded images.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.vault = folder, folder / "vault"
        self.given = {**TINY, "folder": str(folder / "run"), "data.cache": str(cache)}
        (folder / "run").mkdir()
        (folder / "run" / "config.toml").write_text("")
        config = parse(self.given).by_method["fedavg"]
        vault = open_vault(self.vault, "phantom-1", Order("fedavg", 0, 1, "phantom-1", "", ""))
        site = open_site(config, "phantom-1", seed=0, vault=vault)
        state = as_group(site.initial, WEIGHTS)
        self.weights = {spec.name: state[spec.name].numpy() for spec in site.boundary.shared}

    def message(self) -> Message:
        """Return an honest order to train round 1."""
        order = Order("fedavg", 0, 1, SITES[0], str(self.folder / "run"), code_digest())
        content = pack_order(order, pack_groups(self.weights))
        message = Message(RecordDict({**content}), FIRST_SITE_NODE, "train", group_id=SITES[0])
        give_id(message, "1")
        return message

    def context(self, *, has_vault: bool = True) -> Context:
        context = context_of(self.given, len(SITES), FIRST_SITE_NODE)
        context.node_config |= {"vault": str(self.vault)} if has_vault else {}
        return context

    def files(self) -> dict[str, bytes]:
        """Return all files and folders, but not logs in the vault's root and their folders."""
        paths = [path for path in sorted(self.folder.rglob("*")) if not self.is_log(path)]
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}

    def is_log(self, path: Path) -> bool:
        folder = path.parent if path.name == "site.log" else path
        return folder.parent == self.vault


def outcome(ward: Ward, spoil: Spoil, code: int) -> str:
    """Return what became of an order: ``refused by its code`` is the only good outcome."""
    message = ward.message()
    spoil(message)
    before = ward.files()
    try:
        reply = app(message, ward.context())
    except Exception:
        return "traceback to the server"
    if ward.files() != before:
        return "files changed"
    if not reply.has_error():
        return "followed"
    return "refused by its code" if reply.error.code == code else f"refused as {reply.error.code}"


def main() -> int:
    """Print the outcomes, and return 1 if one is not good."""
    enter_task()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "ward").mkdir()
        ward = Ward(Path(root) / "ward", Path(root) / "cache")
        for name, spoil, code in CASES:
            result = outcome(ward, spoil, code)
            counts[result] += 1
            if result != "refused by its code":
                print(f"{name}: {result}")
    print(f"{len(CASES)} malformed orders:", ", ".join(f"{n} {k}" for k, n in counts.items()))
    return int(set(counts) != {"refused by its code"})


if __name__ == "__main__":
    sys.exit(main())
