"""``consilium ledger``: what left each hospital, and whether its ledger and the server agree."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def add(commands: Any) -> None:
    """Add the group ``ledger`` to the command's subparsers."""
    group = commands.add_parser("ledger", help="what left each hospital, and whether that is true")
    verbs = group.add_subparsers(required=True, metavar="VERB")
    verify = verbs.add_parser(
        "verify",
        help="hold every hospital's ledger against what the server received",
        epilog="examples: consilium ledger verify runs/demo · at a hospital: consilium ledger "
        "verify /srv/vault/RUN-ID --received received.csv; exit status 1 on any difference",
    )
    verify.add_argument("folder", type=Path, help="a run's folder, or one of a hospital's vaults")
    verify.add_argument(
        "--received", type=Path, help="the server's list (received.csv in the folder)"
    )
    verify.set_defaults(call=_verify)
    show = verbs.add_parser("show", help="print megabytes that left by method, round and kind")
    show.add_argument("folder", type=Path, help="a run's folder, or one of a hospital's vaults")
    show.set_defaults(call=_show)


def _verify(arguments: argparse.Namespace) -> int:
    from federated.exchange.audit import audit
    from federated.runs.folder import RunFolder
    from federated.runs.ledgers import ledgers_in, received_in

    paths = ledgers_in(arguments.folder)
    found = audit(paths, received_in(arguments.received or RunFolder(arguments.folder).received))
    for fault in found.faults:
        print(fault)
    print(
        f"{found.ledgers} ledgers with {found.entries} entries; {found.confirmed} of "
        f"{found.rows} replies that the server received are in them with the same digests; "
        f"{len(found.faults)} faults."
    )
    return 1 if found.faults else 0


def _show(arguments: argparse.Namespace) -> None:
    from federated.exchange.ledger import LedgerError
    from federated.plots.terminal import printed
    from federated.runs.ledgers import bytes_left

    try:
        left = bytes_left(arguments.folder)
    except LedgerError as error:
        raise UserError(f"{error}; consilium ledger verify tells of all.") from None
    print("Megabytes of tensors that left all hospitals together; means over seeds.\n")
    print(printed(table_of(left).map("{:.3f}".format).reset_index().astype(str)))
    print("\nA round in which nothing left has only numbers in it, such as AUC.")


def table_of(left: "pd.DataFrame") -> "pd.DataFrame":
    """Return megabytes by method and round, a column for each kind, and the sum of each method."""
    rounds = left.groupby(["method", "seed", "round", "kind"], as_index=False)["bytes"].sum()
    table = rounds.pivot_table(index=["method", "round"], columns="kind", values="bytes") / 1e6
    order = [kind for kind in table if kind not in ("normalisation", "memory")]
    megabytes: pd.DataFrame = table[[*order, "normalisation", "memory"]].fillna(0.0)
    megabytes.columns.name = None
    return megabytes
