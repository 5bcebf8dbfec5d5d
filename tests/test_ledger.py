"""Ledgers: every edit, cut and reordering is found; resumed runs keep their chain."""

import json
from pathlib import Path

import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_messages import load_with

from clients.app import app
from federated.commands.main import main
from federated.engine import run
from federated.exchange.audit import audit
from federated.exchange.ledger import append, budget_of, entries, payload_of
from federated.exchange.wire import unpack_order
from federated.plots import egress
from federated.runs.ledgers import bytes_left, ledgers_in, received_in
from federated.runs.reading import load

ROUNDS = 6


def written(folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """Write a ledger of a site, and return it with what the server received."""
    path = folder / "north" / "fedbn" / "seed-0" / "ledger.jsonl"
    path.parent.mkdir(parents=True)
    for round in range(1, ROUNDS + 1):
        facts = {"round": round, "action": "train", "tensors": f"{round:064x}"}
        facts |= {"numbers": f"{-round}", "bytes": {"weights": 9}, "budget": None}
        append(path, facts, sync=False)
    where = {"site": "north", "method": "fedbn", "seed": "0", "action": "train"}
    rows = [
        {**where, "round": f"{round}", "tensors": f"{round:064x}", "numbers": f"{-round}"}
        for round in range(1, ROUNDS + 1)
    ]
    return path, rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]], bytes]:
    path, rows = written(tmp_path_factory.mktemp("ledger"))
    return path, rows, path.read_bytes()


lines = st.integers(0, ROUNDS - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_edit_cut_or_reordering_is_found(whole, data: st.DataObject) -> None:
    path, rows, content = whole
    parts = content.splitlines(keepends=True)
    how = data.draw(st.sampled_from(["flip", "drop", "swap", "twice", "cut", "insert"]))
    at, other = data.draw(lines), data.draw(lines)
    if how == "flip":
        place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        spoilt = bytes(changed)
    elif how == "cut":
        spoilt = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        moved = {
            "drop": [*parts[:at], *parts[at + 1 :]],
            "twice": [*parts[: at + 1], *parts[at:]],
            "insert": [*parts[:at], parts[other], *parts[at:]],
            "swap": [parts[other] if k == at else parts[at] if k == other else p
                     for k, p in enumerate(parts)],
        }  # fmt: skip
        spoilt = b"".join(moved[how])
    path.write_bytes(spoilt)
    assert bool(audit([path], rows).faults) == (spoilt != content)
    path.write_bytes(content)


def test_a_number_that_was_edited_with_its_own_line_made_anew_is_found(whole) -> None:
    """Whoever edits a line and computes its digests again must do so for all that follow."""
    path, rows, content = whole
    assert audit([path], rows).confirmed == ROUNDS
    parts = content.splitlines(keepends=True)
    entry = json.loads(parts[2])
    entry["time"] = "2020-01-01T00:00:00+00:00"
    path.write_bytes(b"".join([*parts[:2], json.dumps(entry).encode() + b"\n", *parts[3:]]))
    [fault] = audit([path], []).faults
    assert "line 3 was edited" in fault
    path.write_bytes(content)


def test_a_line_torn_by_a_crash_is_no_entry_and_the_chain_goes_on(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content + content[:100])
    append(path, {"round": 7, "action": "train", "bytes": {}}, sync=True)
    assert path.read_bytes().startswith(content)
    assert [entry["facts"]["number"] for entry in entries(path)] == [1, 2, 3, 4, 5, 6, 7]
    assert not audit([path], rows).faults


def test_the_digest_of_a_payload_tells_names_and_bytes_apart() -> None:
    def content(name: str, value: float) -> RecordDict:
        record = ArrayRecord({name: Array("float32", (1,), "numpy.ndarray", b"abc")})
        return RecordDict({"w": record, "report/a": MetricRecord({"epsilon": value})})

    one = payload_of(content("x", 1.5))
    assert one.bytes == 3 and one == payload_of(content("x", 1.5))
    assert one.tensors != payload_of(content("y", 1.5)).tensors
    other = payload_of(content("x", 2.5))
    assert (one.tensors, one.numbers != other.numbers) == (other.tensors, True)
    assert budget_of(content("x", 2.5)) == 2.5 and budget_of(RecordDict()) is None


def chains(folder: Path) -> dict[str, list[str]]:
    return {
        str(path.relative_to(folder)): [entry["chain"] for entry in entries(path)]
        for path in ledgers_in(folder)
    }


def test_a_run_is_confirmed_shown_and_resumed(
    tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chains of two runs are the same; one stopped amid a round is longer, and as whole."""
    whole, stopped = (tiny(name, methods="fedavg,fedbn", rounds=2) for name in ("a", "b"))
    run(whole)

    def crashing(message: Message, context: Context) -> Message:
        reply = app(message, context)
        order = unpack_order(message)
        if (order.method, order.round, order.site) == ("fedbn", 2, "phantom-2"):
            raise KeyboardInterrupt  # the reply is in the ledger and never arrives
        return reply

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("federated.engine.running.load_app", load_with(crashing))
        run(stopped)
    run(stopped)
    first, second = chains(Path(whole["folder"])), chains(Path(stopped["folder"]))
    assert (
        first["sites/phantom-3/fedbn/seed-0/ledger.jsonl"]
        == (second["sites/phantom-3/fedbn/seed-0/ledger.jsonl"])
    )
    both = "sites/phantom-2/fedbn/seed-0/ledger.jsonl"
    assert len(second[both]) == len(first[both]) + 1
    for settled in (whole, stopped):
        assert main(["ledger", "verify", settled["folder"]]) == 0
    printed = capsys.readouterr().out
    assert "30 of 30 replies" in printed and " 0 faults." in printed

    left = bytes_left(Path(whole["folder"])).set_index(["method", "kind"])["bytes"]
    assert left["fedbn", "normalisation"].sum() == left["fedbn", "memory"].sum() == 0
    assert left["fedavg", "normalisation"].sum() > 0
    metrics = load(whole["folder"]).metrics.query("metric == 'bytes_up'")
    assert left.sum() == metrics["value"].sum()
    axes = egress(load(whole["folder"])).axes
    drawn = [max(line.get_ydata()) for ax in axes for line in ax.get_lines()]
    assert len(axes) == 2 and axes[0].get_ylim()[1] >= max(drawn) > 0
    assert main(["ledger", "show", whole["folder"]]) == 0
    assert "normalisation  memory" in capsys.readouterr().out


def test_a_ledger_that_lacks_what_the_server_received_is_named(
    run_tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a hospital does it: its own vaults, and the server's list from elsewhere."""
    folder = run_tiny(rounds=1).folder
    path = next(p for p in ledgers_in(folder) if "phantom-2" in p.parts)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    listed = tmp_path / "received.csv"
    listed.write_bytes((folder / "received.csv").read_bytes())
    words = ["ledger", "verify", str(folder / "sites"), "--received", str(listed)]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "phantom-2: its ledger does not have what the server received of train.finish" in printed
    assert main([*words[:-1], str(tmp_path / "none.csv")]) == 2
    listed.write_text("a,b\n1,2\n")
    assert main(words) == 2 and len(received_in(folder / "received.csv")) == 9
    assert main(["ledger", "show", str(tmp_path / "none")]) == 2
