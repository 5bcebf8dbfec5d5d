"""The egress gate: every way out that was tried, and what becomes of it."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hostile_replies import asked, honest
from hostile_spoils import add, drop, number, put, renamed
from hypothesis import given
from hypothesis import strategies as st

from federated.engine.grid import enter_task
from federated.exchange.failures import FAILED, REASONS
from federated.exchange.gate import EgressError, Gate, plain_error, rounded, shortened
from federated.exchange.npy import npy_header, write_npy
from federated.exchange.policy import Policy
from federated.exchange.schema import Schema
from federated.exchange.sharing import TensorSpec

SPECS = (
    TensorSpec("weights/w", (3, 4), "float32"),
    TensorSpec("weights/n", (), "int64"),
    TensorSpec("control/b", (8,), "bool"),
)
STRICT = Policy(digits=4, minimum=11, mantissa_bits=12, terms=frozenset({"proximal"}))
KEY = "report/a/train/current"
PATIENT = np.frombuffer(b"patient 17, born 1954, positive ", np.float32)


@pytest.fixture(autouse=True)
def task() -> None:
    enter_task()


def gate(policy: Policy = STRICT, fewest: int = 20) -> Gate:
    return Gate(policy, Schema(SPECS), ("a",), lambda site, split: fewest)


def reply(action: str = "train") -> Message:
    message = honest(asked(action, "a", 1), "a")
    if action == "train":
        flags = np.array([0, 1] * 4, dtype=bool)
        message.content["control"] = ArrayRecord({"b": Array(flags)})
    return message


def inside(array: np.ndarray, name: str = "w", header: bytes | None = None) -> Array:
    """Return an array under the header of what is agreed, or another one."""
    spec = next(spec for spec in SPECS if spec.name.endswith(f"/{name}"))
    head = header or npy_header(np.dtype(spec.dtype).str, spec.shape)
    return Array(spec.dtype, spec.shape, "numpy.ndarray", head + array.tobytes())


def turned(message: Message) -> None:
    """The same values, told to be in Fortran's order, which holds a bit."""
    w = message.content.array_records["weights"]["w"].numpy()
    head = npy_header("<f4", (3, 4)).replace(b"False", b"True ")
    put(inside(np.ascontiguousarray(w), header=head))(message)


W = np.ones((3, 4), np.float32)
HEAD = npy_header("<f4", (3, 4))
SMUGGLERS: dict[str, tuple[Callable[[Message], object], str]] = {
    "a private tensor more": (put(PATIENT, "norm.running_mean"), "weights/norm.running_mean"),
    "renamed, with the patient in the name": (put(PATIENT, "patient 17"), "weights/patient 17"),
    "under another group": (add("memory", ArrayRecord({"z": Array(PATIENT)})), "memory/z"),
    "an empty group whose name speaks": (add("patient 17", ArrayRecord()), "patient 17"),
    "in the place of one": (drop("weights", "w"), "weights/w is missing"),
    "in a larger array": (put(np.ones((4, 4), np.float32)), "weights/w has another shape"),
    "in a wider dtype": (put(np.ones((3, 4))), "weights/w has another shape or dtype"),
    "behind the values": (put(inside(np.ones(16, np.float32))), "weights/w holds bytes beside"),
    "in the header": (put(inside(W, header=HEAD[:-9] + b"\n" * 9)), "weights/w holds bytes beside"),
    "in the order of axes": (turned, "weights/w holds bytes beside"),
    "in NaNs": (put(inside(np.full(12, np.nan, np.float32))), "weights/w holds a value that is no"),
    "in bools": (
        lambda m: m.content["control"].update(b=inside(np.arange(8, dtype=np.uint8), "b")),
        "control/b holds bytes that are neither",
    ),
    "in a config record": (add("note", ConfigRecord({"patient": "17"})), "the record 'note'"),
    "in a metric": (number(KEY, "patient_17", 1954.0), "the policy lists no number 'patient_17'"),
    "in a metric's name": (number(KEY, "Müller 17", 1.0), "numbers that nobody asked for"),
    "in a list of numbers": (number(KEY, "loss", [1.0, 9.0, 5.0, 4.0]), "lists, not numbers"),
    "in a number that is none": (number(KEY, "loss", math.inf), "cannot be: loss"),
    "in a report on nobody": (
        add("report/patient 17/train/current", MetricRecord({"num_examples": 1})),
        "was not asked about",
    ),
    "in the name of a report": (renamed(KEY, "patient 17"), "was not asked about"),
    "in a huge count": (number(KEY, "num_examples", 2**60 + 1954), "no number of images"),
    "of fewer images than may be told of": (number(KEY, "num_examples", 7), "7 training images"),
}


@pytest.mark.parametrize("name", SMUGGLERS)
def test_a_smuggler_is_held_back_and_named_in_the_sites_own_log(name: str) -> None:
    smuggle, sentence = SMUGGLERS[name]
    message = reply()
    smuggle(message)
    with pytest.raises(EgressError, match=sentence):
        gate().passed("train", message.content)


@pytest.mark.parametrize("action", ["evaluate", "train.frozen", "train.finish", "query.register"])
def test_what_should_hold_no_tensor_holds_none(action: str) -> None:
    message = reply(action)
    gate(Policy()).passed(action, message.content)
    message.content["weights"] = ArrayRecord({"w": Array(W)})
    with pytest.raises(EgressError, match="weights/w"):
        gate(Policy()).passed(action, message.content)


@pytest.mark.parametrize("action", ["train", "evaluate", "train.finish", "query.register"])
def test_an_honest_reply_passes_an_open_policy_unchanged(action: str) -> None:
    message = reply(action)
    passed = gate(Policy()).passed(action, message.content)
    assert passed.keys() == message.content.keys()
    for name, record in message.content.items():
        assert dict(passed[name]) == dict(record)


def test_an_order_of_records_tells_nothing() -> None:
    """Names and numbers come in one order, whatever order they were put in."""
    message = reply("evaluate")
    there = list(gate().passed("evaluate", message.content).items())
    turned = RecordDict(
        {
            name: MetricRecord(dict(reversed(list(record.items()))))
            for name, record in reversed(list(message.content.metric_records.items()))
        }
    )
    again = list(gate().passed("evaluate", turned).items())
    assert [(n, list(r.items())) for n, r in again] == [(n, list(r.items())) for n, r in there]


def test_low_bits_are_rounded_away_where_the_policy_says_so() -> None:
    """A text in the last 11 bits of each weight is gone; without the setting it would leave."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    text = np.frombuffer(b"patient 17 was here, yes", np.uint16)[:12].reshape(3, 4) & 0x7FF
    bits = weights.view(np.uint32) >> 11 << 11 | text
    message = reply()
    put(bits.view(np.float32))(message)

    def left(policy: Policy) -> np.ndarray:
        content = gate(policy).passed("train", message.content)
        return content.array_records["weights"]["w"].numpy().view(np.uint32) & 0x7FF

    assert (left(Policy()) == text).all() and (left(STRICT) == 0).all()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 23))
def test_rounding_a_weight_is_off_by_half_a_unit_at_most(value: float, bits: int) -> None:
    if abs(value) < 1e30 and abs(value) > 1e-30:
        short = float(shortened(np.array([value], np.float32), bits)[0]) if bits < 23 else value
        assert abs(short - value) <= abs(value) * 2.0 ** -(bits + 1) * (1 + 1e-6)


def test_a_number_has_one_form() -> None:
    payload = np.array([0x7FF8_0000_DEAD_BEEF], np.uint64).view(np.float64)[0]
    assert np.array(rounded(float(payload), 4)).view(np.uint64) == np.array(math.nan).view(
        np.uint64
    )
    assert math.copysign(1.0, rounded(-0.0, -1)) == 1.0
    assert (rounded(0.123456, 4), rounded(0.123456, -1)) == (0.1235, 0.123456)
    assert rounded(math.inf, 4) == math.inf


def test_a_rate_of_too_few_images_does_not_leave() -> None:
    message = reply("evaluate")
    for key in ("report/a/val/current", "report/a/test/current"):
        message.content[key]["num_examples"] = 30
    few = gate(fewest=10).passed("evaluate", message.content)["report/a/val/current"]
    assert math.isnan(few["auc"]) and few["loss"] == 0.7 and few["num_examples"] == 30
    enough = gate(fewest=11).passed("evaluate", message.content)["report/a/val/current"]
    assert enough["auc"] == 0.5
    message.content["report/a/val/current"]["num_examples"] = 10
    hidden = gate(fewest=5).passed("evaluate", message.content)["report/a/val/current"]
    assert hidden["num_examples"] == 0 and math.isnan(hidden["loss"])


@pytest.mark.parametrize(
    ("code", "left"), [(1002, 1002), (FAILED, FAILED), (195417, FAILED), (-1, FAILED)]
)
def test_an_error_is_a_code_of_the_table_and_no_text(code: int, left: int) -> None:
    message = asked("train", "a", 1)
    error = Message(Error(code, "/records/patient-17"), reply_to=message)
    plain = plain_error(message, error).error
    assert (plain.code, plain.reason) == (left, REASONS[left])


def test_a_list_of_terms_is_optional_in_a_simulation() -> None:
    message = reply()
    number(KEY, "my_term", 1.0)(message)
    assert "my_term" in gate(Policy()).passed("train", message.content)[KEY]
    with pytest.raises(EgressError, match="my_term"):
        gate(replace(STRICT, terms=frozenset())).passed("train", message.content)


def test_a_header_is_what_numpy_writes() -> None:
    assert write_npy(W)[: len(HEAD)] == HEAD
