"""Sites that fail: named, left out of the round by a stated rule, and never trusted."""

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message
from test_laws import shared
from test_messages import load_with

import clients.work
from clients.app import app as client_app
from federated.engine import run
from federated.exchange.replies import change_of, check_norm
from federated.exchange.request import Request
from federated.exchange.sharing import Boundary, as_group
from federated.exchange.wire import BadReplyError, pack_groups, unpack_order
from federated.runs.reading import Run, load
from server.cell import RunStoppedError

Spoil = Callable[[ArrayRecord], None]


def spoiling(spoil: Spoil, site: str = "phantom-2", round: int = 2):
    """Return a client whose training reply of one site in one round is spoilt."""

    def client(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        order = unpack_order(message)
        if message.metadata.message_type == "train" and (order.site, order.round) == (site, round):
            spoil(reply.content.array_records["weights"])
        return reply

    return client


def run_spoilt(tiny, client: object, **settings: object) -> Run:
    given = tiny("spoilt", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federated.engine.running.load_app", load_with(client))
        run(given)
    return load(given["folder"])


def nan(record: ArrayRecord) -> None:
    name = next(iter(record))
    value = record[name].numpy()
    value.flat[0] = np.nan
    record[name] = Array(value)


def other_shape(record: ArrayRecord) -> None:
    record[next(iter(record))] = Array(np.zeros((1, 2), dtype=np.float32))


def other_dtype(record: ArrayRecord) -> None:
    name = next(iter(record))
    record[name] = Array(record[name].numpy().astype(np.float64))


def missing(record: ArrayRecord) -> None:
    del record[next(iter(record))]


def smuggled(record: ArrayRecord) -> None:
    record["norm1.running_mean"] = Array(np.zeros(4, dtype=np.float32))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (nan, "not finite"),
        (other_shape, "another shape or dtype"),
        (other_dtype, "another shape or dtype"),
        (missing, "other tensors than the boundary admits"),
        (smuggled, "other tensors than the boundary admits"),
    ],
)
def test_a_spoilt_reply_is_left_out_and_named(tiny, spoil: Spoil, reason: str) -> None:
    run = run_spoilt(tiny, spoiling(spoil), methods="fedbn")
    failed = run.events[run.events["kind"] == "site-failed"]
    assert list(failed["site"]) == ["phantom-2"]
    assert list(failed["round"]) == [2]
    assert reason in failed["reason"].iloc[0]
    weights = shared(run, "fedbn")
    assert all(np.isfinite(tensor).all() for tensor in weights.values())
    trained = run.metrics[(run.metrics["metric"] == "steps") & (run.metrics["round"] == 2)]
    assert sorted(trained["site"]) == ["phantom-1", "phantom-3"]


def test_left_out_means_the_mean_of_the_others(tiny, run_tiny) -> None:
    """Round 1 without phantom-3 is round 1 of a federation that never had it."""
    spoilt = run_spoilt(tiny, spoiling(nan, site="phantom-3", round=1), rounds=1)
    never = run_tiny("never", phantom__sites=2, rounds=1)
    path = Path("fedavg") / "seed-0" / "shared.safetensors"
    assert (spoilt.folder / path).read_bytes() == (never.folder / path).read_bytes()


def far(record: ArrayRecord) -> None:
    """Move one number of the release by 100, farther than any limit of the test."""
    name = next(name for name, array in record.items() if array.numpy().dtype == np.float32)
    array = record[name].numpy().copy()
    array.flat[0] += 100
    record[name] = Array(array)


@pytest.mark.parametrize("limit", [0.0, 99.0])
def test_an_update_beyond_the_norm_limit_is_left_out(tiny, limit: float) -> None:
    run = run_spoilt(tiny, spoiling(far), methods="fedbn", server__norm_limit=limit)
    failed = run.events.query("kind == 'site-failed'")
    told = list(zip(failed["site"], failed["round"], strict=True)) if len(failed) else []
    assert told == ([("phantom-2", 2)] if limit else [])
    if limit:
        assert "server.norm-limit is 99" in failed["reason"].iloc[0]


def test_the_norm_of_an_update_by_hand() -> None:
    """A change by 3 in one tensor and 4 in another has the norm 5; a counter's does not count."""
    before = {"a": np.zeros((2, 1), np.float32), "b": np.ones(1), "n": np.array([7])}
    after = {"a": np.array([[3], [0]], np.float32), "b": np.array([5.0]), "n": np.array([70])}
    sent, released = pack_groups(as_group(before, "weights")), as_group(after, "weights")

    def judge(limit: float) -> float:
        request = Request("train", sent, Boundary((), ()), True, True, limit)
        length = change_of(request, released)
        check_norm(request, length)
        return length

    assert (judge(0.0), judge(5.0)) == (0.0, 5.0)  # nobody asks for it, or it is not above
    with pytest.raises(BadReplyError, match=r"norm 5, server\.norm-limit is 4\.99"):
        judge(4.99)


def test_too_few_good_sites_stop_the_run_with_nothing_lost(tiny) -> None:
    given = tiny("spoilt", server__min_sites=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federated.engine.running.load_app", load_with(spoiling(nan)))
        with pytest.raises(RunStoppedError) as caught:
            run(given)
    sentence = str(caught.value)
    assert "round 2: 2 of 3 sites answered well, 3 are needed" in sentence
    assert "phantom-2" in sentence and "consilium resume" in sentence
    assert set(load(given["folder"]).metrics["round"]) == {1}
    run(given)
    assert set(load(given["folder"]).metrics["round"]) == {1, 2}


def test_a_failing_site_tells_the_server_nothing_but_a_code(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = clients.work.train

    def torn(sites, order, weights):
        if order.site == "phantom-2" and order.round == 2:
            raise OSError("/records/patient-17/scan.png is truncated")
        return honest(sites, order, weights)

    monkeypatch.setattr("clients.work.train", torn)
    given = tiny()
    run(given)
    folder = Path(given["folder"])
    failed = load(folder).events.query("kind == 'site-failed'")
    assert list(failed["reason"]) == ["it failed; its own log says why"]
    log = (folder / "sites" / "phantom-2" / "site.log").read_text()
    assert "patient-17" in log and "Traceback" in log
    for path in folder.rglob("*"):
        if path.is_file() and "sites" not in path.parts:
            assert b"patient-17" not in path.read_bytes(), path


def test_a_full_disk_of_a_site_is_called_by_its_name(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/records/patient-17")

    monkeypatch.setattr("clients.vault.write_tensors", full)
    with pytest.raises(
        RunStoppedError, match="its disk is full, over quota or read-only"
    ) as caught:
        run(tiny())
    assert "patient-17" not in str(caught.value)


def test_divergence_is_called_by_its_name(tiny) -> None:
    with pytest.raises(RunStoppedError, match="diverged"):
        run(tiny(train__optimizer="sgd", train__lr=1e30, train__clip_norm=0))


def test_other_code_is_refused(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from federated.errors import UserError

    monkeypatch.setattr("clients.node.code_digest", lambda: "0" * 64)
    with pytest.raises(UserError, match="code is not the server's"):
        run(tiny())
