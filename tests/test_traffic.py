"""The page's table of what left the hospitals, against ledgers and a server's list by hand."""

import csv
from pathlib import Path

import pytest
from test_plots import full_rows, site_folder, write_run

from federated.errors import UserError
from federated.exchange.ledger import append
from federated.report.traffic import ALL, traffic_table
from federated.runs.columns import RECEIVED_COLUMNS
from federated.runs.folder import LEDGER
from federated.runs.ledgers import received_bytes
from federated.runs.reading import Run

REGISTRATION = 999_999
"""Bytes in no round, which no table counts."""


def write_ledgers(run: Run, seeds: tuple[int, ...] = (0, 1)) -> None:
    """Two hospitals, two rounds: under fedavg 3 MB of weights and 0.25 MB of norms a reply."""
    for site in ("alder", "birch"):
        for seed in seeds:
            path = site_folder(run, site, "fedavg", seed) / LEDGER
            append(path, {"round": 0, "bytes": {"weights": REGISTRATION}}, sync=False)
            for round in (1, 2):
                sizes = {"normalisation": 250_000, "weights": 3_000_000, "memory": 0}
                append(path, {"round": round, "bytes": sizes}, sync=False)


def test_what_left_is_what_the_ledgers_say_and_not_what_the_shapes_would_have(
    tmp_path: Path,
) -> None:
    """``bytes_up`` of the metrics is another number, and the network is never built."""
    run = write_run(tmp_path, full_rows(seeds=(0, 1)), seeds=(0, 1), **{"model.name": "no:where"})
    write_ledgers(run)
    assert traffic_table(run).to_numpy().tolist() == [
        ["fedavg", "weights", "6.000", "12.00"],
        ["fedavg", "normalisation", "0.500", "1.00"],
        ["fedavg", "memory", "0.000", "0.00"],
    ]


def test_a_server_without_the_hospitals_ledgers_tells_what_it_received(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    assert traffic_table(run).empty
    with run.files.received.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(RECEIVED_COLUMNS)
        for site in ("alder", "birch"):
            lines.writerow(("consilium", 0, 0, site, "query", REGISTRATION, "", ""))
            lines.writerow(("consilium", 0, 1, site, "train", 3_000_000, "", ""))
            lines.writerow(("consilium", 0, 2, site, "train", 2_000_000, "", ""))
    assert traffic_table(run).to_numpy().tolist() == [["consilium", ALL, "5.000", "10.00"]]


def test_a_ledger_that_was_edited_is_not_quoted(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(seeds=(0, 1)), seeds=(0, 1))
    write_ledgers(run)
    path = site_folder(run, "birch", "fedavg", 0) / LEDGER
    path.write_bytes(path.read_bytes().replace(b"3000000", b"1000000"))
    assert traffic_table(run).empty


@pytest.mark.parametrize("damage", ["bytes,size", "7,seven", "7,"])
def test_a_damaged_list_of_what_the_server_received_is_one_sentence(
    damage: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path, full_rows(seeds=(0,)), seeds=(0,))
    row = ["fedavg", "0", "1", "alder", "train", "7", "d", "d"]
    path = run.files.received
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([RECEIVED_COLUMNS, row])
    assert received_bytes(run)["bytes"].tolist() == [7]
    before, after = damage.split(",")
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UserError, match="is no list of what a server received"):
        received_bytes(run)
