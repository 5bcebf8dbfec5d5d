"""Hostile or broken sites cannot stop or falsify the rest."""

import hostile_replies
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord
from hostile_cases import CASES, KEY
from hostile_replies import IMAGES, asked, bits, honest, request, tallied
from hostile_spoils import Spoil, metadata, number, put
from test_failures import run_spoilt
from test_laws import shared

from clients.app import app as client_app
from federated.engine.grid import enter_task
from federated.exchange import reports
from federated.exchange.exact import Accumulator
from federated.exchange.failures import REASONS, reason_of
from federated.exchange.replies import Refusal, Reply, genuine, read
from federated.exchange.reports import FORMS, MOST_TERMS
from federated.exchange.request import Request
from federated.exchange.tally import Tally
from federated.exchange.wire import BadReplyError, Report, unpack_array, unpack_order
from federated.learning.metrics import METRICS
from server.tallies import validation_score


@pytest.fixture(autouse=True)
def task() -> None:
    enter_task()


@pytest.mark.parametrize(("action", "name", "spoil"), CASES, ids=[f"{a}: {n}" for a, n, _ in CASES])
def test_a_malformed_reply_is_left_out(action: str, name: str, spoil: Spoil) -> None:
    assert hostile_replies.outcome(action, spoil) == "left out"


@pytest.mark.parametrize("action", FORMS)
def test_an_honest_reply_is_not_left_out(action: str) -> None:
    tally = tallied(action, lambda reply: None)
    assert [type(result) for result in tally.results] == [Reply] * 3
    total = tally.total()
    assert sum(one.weight for one in total.values()) == (100 if action == "train" else 0)


def test_what_may_be_reported_is_what_is_measured() -> None:
    assert set(reports.MEASURED) == set(METRICS)


def test_terms_of_a_method_are_few_and_finite() -> None:
    message = asked("train", "b", 2)
    reply = honest(message, "b")
    for k in range(MOST_TERMS):
        number(KEY, f"my_term_{k}", -1.5)(reply)
    assert read(request("train"), message, reply).reports[0].metrics["my_term_3"] == -1.5
    number(KEY, "one_more", 0.0)(reply)
    with pytest.raises(BadReplyError, match="nobody asked for"):
        read(request("train"), message, reply)


@pytest.mark.parametrize("name", ["auc", "f1", "precision", "loss"])
def test_what_has_no_value_here_is_not_a_number_and_welcome(name: str) -> None:
    message = asked("evaluate", "b", 2)
    reply = honest(message, "b")
    number("report/b/val/current", name, float("nan"))(reply)
    assert np.isnan(read(request("evaluate"), message, reply).reports[0].metrics[name])


def test_one_that_answers_for_all_reports_on_sites_of_the_run() -> None:
    fields = {**vars(request("train")), "sites": tuple(IMAGES)}
    message = asked("train", "a", 1)
    reply = honest(message, "a")
    more = MetricRecord({"num_examples": 50, "steps": 2, "images_seen": 9})
    reply.content["report/b/train/current"] = more
    assert [r.site for r in read(Request(**fields), message, reply).reports] == ["a", "b"]
    reply.content["report/z/train/current"] = more
    with pytest.raises(BadReplyError, match="was not asked about"):
        read(Request(**fields), message, reply)


def test_a_node_cannot_take_the_place_of_another() -> None:
    """Neither by the group of another's message nor by its id; the other's own reply remains."""
    sent = [asked("train", site, node) for node, site in enumerate(IMAGES, 1)]
    back = [honest(message, site) for message, site in zip(sent, IMAGES, strict=True)]
    forged = [honest(sent[2], "c"), honest(sent[2], "c")]
    metadata("_group_id", "a")(forged[0])
    metadata("_reply_to_message_id", "message to a")(forged[1])
    assert genuine(sent, [*back, *forged]) == back


def test_whoever_passes_messages_on_may_say_that_a_node_is_gone() -> None:
    message = asked("train", "b", 2)
    lost = Message(Error(5, "gone"), reply_to=message)
    lost.metadata.__dict__["_src_node_id"] = message.metadata.src_node_id
    with pytest.raises(BadReplyError, match="its node is not connected"):
        read(request("train"), message, lost)


def test_the_text_of_an_error_is_never_shown() -> None:
    for code in (*REASONS, 999, -3, 2**70):
        tally = Tally(request("train"))
        message = asked("train", "b", 2)
        tally.take(message, Message(Error(code, "patient-17"), reply_to=message))
        assert tally.results == [Refusal(reason_of(code))]
        assert "patient" not in reason_of(code)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4)[:, ::2],
        np.array(7),
        np.zeros((0, 5), np.float32),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
    ],
)
def test_what_numpy_writes_is_read(array: np.ndarray) -> None:
    """Fortran order and views that are not contiguous among them: numpy's own reader is asked."""
    packed = Array(array)
    expected, found = packed.numpy(), unpack_array(packed)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("value", "is_good"), [(0.999, True), (-0.999, True), (1.001, False)])
def test_many_sites_at_the_limit_do_not_wrap_around(value: float, is_good: bool) -> None:
    """All weigh as much as can be, and their values are as large as int64 has room for."""
    count, weight = 1000, 2**29 - 1
    most = np.float32(value * 2.0**39 / (count * weight + 1))
    accumulator = Accumulator(count * weight)
    release = {"w": np.array([most, -most, 0], np.float32)}
    for _ in range(count):
        if is_good:
            accumulator.include(release, weight)
        else:
            with pytest.raises(ValueError, match="too large to be added up"):
                accumulator.include(release, weight)
    assert accumulator.weight == count * weight * is_good
    if is_good:
        mean = accumulator.total().mean()["w"]
        assert mean.astype(np.float32).tobytes() == release["w"].tobytes()


def test_a_site_is_refused_for_what_it_brings_not_for_when_it_comes() -> None:
    """Three of which each would fit alone, and not all together: none is taken in."""
    release = {"w": np.array([0.95 * 2.0**37])}
    Accumulator().include(release, 2)
    accumulator = Accumulator(6)
    for _ in range(3):
        with pytest.raises(ValueError, match="too large"):
            accumulator.include(release, 2)


@pytest.mark.parametrize("weight", [0, -1, 2**29])
def test_a_weight_that_is_none_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match="weight"):
        Accumulator().include({"w": np.ones(2, np.float32)}, weight)


def test_a_release_that_is_kept_must_be_such_as_can_be_added_up() -> None:
    tally = Tally(Request(**{**vars(request("train")), "summed": False}))
    for node, (site, value) in enumerate({"a": 1.0, "b": 1e30, "c": 2.0}.items(), 1):
        message = asked("train", site, node)
        reply = honest(message, site)
        put(np.full((3, 4), value, np.float32))(reply)
        tally.take(message, reply)
    assert [type(result) for result in tally.results] == [Reply, Refusal, Reply]


def test_a_release_refused_half_way_leaves_nothing_in_the_sum() -> None:
    """The last tensor is too large; the first has not been added by then."""
    spoilt = tallied("train", put(np.array(2**62), "n"))
    assert bits(spoilt) == bits(tallied("train", None))
    assert "weights/n" in spoilt.results[1].reason


def test_a_loss_that_is_none_decides_no_round() -> None:
    """Two sites without an AUC, one of them with a loss of NaN: the other's counts, by hand."""
    nan, inf = float("nan"), float("inf")
    for loss, score in ((nan, -0.25), (inf, -0.25), (0.75, -0.5)):
        told = {"a": 0.25, "b": loss}
        metrics = {site: {"auc": nan, "loss": value} for site, value in told.items()}
        val = [Report(site, "val", "current", 9, m) for site, m in metrics.items()]
        assert validation_score(val) == score
    assert validation_score([Report("b", "val", "current", 9, {"auc": nan, "loss": nan})]) is None


# whole runs


def swindling(message: Message, context: Context) -> Message:
    """A client of which phantom-2 reports for phantom-1 too, and tells the server's own numbers."""
    reply = client_app(message, context)
    if unpack_order(message).site == "phantom-2" and message.metadata.message_type == "evaluate":
        record = reply.content["report/phantom-2/val/current"]
        reply.content["report/phantom-1/val/current"] = MetricRecord({**record, "auc": 1.0})
    return reply


def test_a_hospital_cannot_write_the_numbers_of_another(tiny, run_tiny) -> None:
    run, honest_run = run_spoilt(tiny, swindling), run_tiny("honest")
    events = run.events.query("kind == 'site-failed'")
    assert set(events["site"]) == {"phantom-2"}
    assert set(events["reason"]) == {"it reported on something that it was not asked about"}
    other = "site == 'phantom-1' and split == 'val' and model == 'current'"
    kept, expected = run.metrics.query(other), honest_run.metrics.query(other)
    assert kept.reset_index(drop=True).equals(expected.reset_index(drop=True))


def garbling(message: Message, context: Context) -> Message:
    """A client of which phantom-3 answers every request with bytes that are no array."""
    reply = client_app(message, context)
    if unpack_order(message).site == "phantom-3":
        reply.content["weights"] = ArrayRecord(
            {"conv": Array("float32", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x01\x00(")}
        )
    return reply


def test_a_site_that_answers_garbage_at_every_turn_stops_nobody(tiny, run_tiny) -> None:
    spoilt = run_spoilt(tiny, garbling)
    never = run_tiny("never", phantom__sites=2)
    assert set(spoilt.events.query("kind == 'site-failed'")["site"]) == {"phantom-3"}
    ours, theirs = shared(spoilt, "fedavg"), shared(never, "fedavg")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
