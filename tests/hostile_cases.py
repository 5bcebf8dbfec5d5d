"""A table of replies that no honest site sends: action, what is wrong, and what makes it so."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from hostile_spoils import (
    Spoil,
    W,
    add,
    drop,
    emptied,
    failed,
    header,
    metadata,
    npy,
    number,
    put,
    raw,
    renamed,
    with_value,
)

KEY = "report/b/train/current"
good_npy = Array(W).data
TRAIN: dict[str, Spoil] = {
    # records
    "empty content": emptied,
    "no weights": drop("weights"),
    "weights renamed": renamed("weights", "Weights"),
    "weights as a ConfigRecord": add("weights", ConfigRecord({"w": "x"})),
    "weights as a MetricRecord": add("weights", MetricRecord({"w": 1.0})),
    "an empty group more": add("evil", ArrayRecord()),
    "a group more": add("control", ArrayRecord({"w": Array(W)})),
    "a group with a slash": renamed("weights", "weights/x"),
    "a ConfigRecord more": add("note", ConfigRecord({"text": "hello"})),
    "a report as an ArrayRecord": add(KEY, ArrayRecord({"w": Array(W)})),
    "a report as a ConfigRecord": add(KEY, ConfigRecord({"num_examples": 3})),
    # tensors
    "a tensor missing": drop("weights", "w"),
    "a tensor more": put(W, "norm.running_mean"),
    "a name of another hospital's path": put(W, "../w"),
    "a shape with one axis more": put(W[None]),
    "a shape transposed": put(np.ascontiguousarray(W.T)),
    "flat": put(W.reshape(-1)),
    "zero-size": put(np.zeros((0, 4), np.float32)),
    "a scalar": put(np.array(3, np.float32)),
    "huge": put(np.zeros(200_000, np.float32)),
    "float64": put(W.astype(np.float64)),
    "float16": put(W.astype(np.float16)),
    "integers for floats": put(W.astype(np.int64)),
    "floats for integers": put(np.array(5.0), "n"),
    "complex": put(W.astype(np.complex64)),
    "strings": put(W.astype("U4")),
    "bytes": put(W.astype("S4")),
    "dates": put(W.astype(np.int64).astype("M8[s]")),
    "a structure": put(np.zeros((3, 4), [("x", "<f4")])),
    "booleans": put(W > 3),
    "big-endian": put(W.astype(">f4")),
    "NaN": put(with_value(np.nan)),
    "infinity": put(with_value(np.inf)),
    "minus infinity": put(with_value(-np.inf)),
    "1e38": put(with_value(1e38)),
    "-1e38": put(with_value(-1e38)),
    "an integer at the end of int64": put(np.array(2**63 - 1), "n"),
    "the least int64": put(np.array(-(2**63)), "n"),
    # bytes
    "no bytes": put(raw(b"")),
    "eight bytes": put(raw(good_npy[:8])),
    "a header cut off": put(raw(good_npy[:40])),
    "a number short": put(raw(good_npy[:-4])),
    "a byte short": put(raw(good_npy[:-1])),
    "a byte more": put(raw(good_npy + b"\0")),
    "no magic": put(raw(b"X" + good_npy[1:])),
    "a zip": put(raw(b"PK\x03\x04" + bytes(100))),
    "a pickle": put(raw(b"\x80\x04N.")),
    "npy version 2": put(npy(header(), version=b"\x02\x00")),
    "npy version 3": put(npy(header(), version=b"\x03\x00")),
    "npy version 9": put(npy(header(), version=b"\x09\x09")),
    "an unbalanced header": put(npy("(")),
    "a header that ends in a string": put(npy("{'descr': '<f4")),
    "a header of nested lists": put(npy("[" * 9000)),
    "a header of nested dicts": put(npy("{'a':" * 3000)),
    "a header of minuses": put(npy("-" * 9000 + "1")),
    "a header of 60 KB": put(npy(" " * 60_000)),
    "a header that is an expression": put(npy("__import__('os').system('true')\n")),
    "a shape that is an expression": put(npy(header(shape="(10**9, 4)"))),
    "a shape of 10^9": put(npy(header(shape="(1000000000, 4)"))),
    "a shape of 10^18": put(npy(header(shape="(1000000000000000000, 4)"))),
    "a shape that wraps around": put(npy(header(shape="(4611686018427387904, 4)"))),
    "zero of many": put(npy(header(shape="(0, 9223372036854775807)"), b"")),
    "a negative shape": put(npy(header(shape="(-3, -4)"))),
    "a shape of 70 axes": put(npy(header(shape=f"({'1, ' * 70})"))),
    "an unknown dtype": put(npy(header("'<f3'"))),
    "objects": put(npy(header("'|O'"))),
    "a dtype that is a list": put(npy(header("[('x', '<f4')]"))),
    "a header with a key more": put(npy(header()[:-2] + "'x': 1}\n")),
    "a header that is no text": put(raw(b"\x93NUMPY\x01\x00\x04\x00\xff\xfe\xfd\n")),
    # numbers of images
    "no num_examples": drop(KEY, "num_examples"),
    "negative num_examples": number(KEY, "num_examples", -5),
    "no image": number(KEY, "num_examples", 0),
    "num_examples as a float": number(KEY, "num_examples", 30.0),
    "num_examples of NaN": number(KEY, "num_examples", float("nan")),
    "num_examples of infinity": number(KEY, "num_examples", float("inf")),
    "num_examples as a list": number(KEY, "num_examples", [30]),
    "2^29 num_examples": number(KEY, "num_examples", 2**29),
    "2^70 num_examples": number(KEY, "num_examples", 2**70),
    "an image more than registered": number(KEY, "num_examples", 51),
    # metrics
    "no metrics": drop(KEY, "images_seen"),
    "no steps": drop(KEY, "steps"),
    "a metric of NaN": number(KEY, "loss", float("nan")),
    "a metric of infinity": number(KEY, "images_seen", float("inf")),
    "negative images_seen": number(KEY, "images_seen", -1e9),
    "half a step": number(KEY, "steps", 0.5),
    "a metric of 2^2000": number(KEY, "images_seen", 2**2000),
    "a metric as a list": number(KEY, "loss", [0.5, 0.5]),
    "a metric as an empty list": number(KEY, "loss", []),
    "a term of NaN": number(KEY, "my_term", float("nan")),
    "an unknown name with a comma": number(KEY, "a,b\n1,2", 1.0),
    "a name of 10,000 letters": number(KEY, "x" * 10_000, 1.0),
    "a name in capitals": number(KEY, "LOSS", 1.0),
    "the server's own bytes_up": number(KEY, "bytes_up", 1.0),
    "an AUC of training": number(KEY, "auc", 1.0),
    "thousands of names": lambda reply: (
        [number(KEY, f"metric_{k}", 1.0)(reply) for k in range(5000)] and None
    ),
    # keys
    "no report": drop(KEY),
    "a key with fewer slashes": renamed(KEY, "report/b/train"),
    "a key with more slashes": renamed(KEY, "report/b/x/train/current"),
    "a key that is no report": renamed(KEY, "told/b/train/current"),
    "a report of another hospital": renamed(KEY, "report/a/train/current"),
    "a report of another hospital too": add(
        "report/a/train/current", MetricRecord({"num_examples": 3, "steps": 1, "images_seen": 3})
    ),
    "a report of nobody": renamed(KEY, "report//train/current"),
    "a report of a path": renamed(KEY, "report/../train/current"),
    "another split": renamed(KEY, "report/b/holdout/current"),
    "validation in training": renamed(KEY, "report/b/val/current"),
    "another model": renamed(KEY, "report/b/train/final"),
    "thousands of reports": lambda reply: (
        [
            add(f"report/b/train/current{k}", MetricRecord({"num_examples": 1}))(reply)
            for k in range(3000)
        ]
        and None
    ),
    # messages
    "a reply to another message": metadata("_reply_to_message_id", "message to a"),
    "a reply to no message": metadata("_reply_to_message_id", ""),
    "a reply from another node": metadata("_src_node_id", 1),
    "a reply about another group": metadata("_group_id", "a"),
    "an error with a long reason": failed(1001, "x" * 100_000),
    "an error with control characters": failed(1001, "\x1b[2J\n\rgone"),
    "an error of an unknown code": failed(31337, "/records/patient-17.png"),
    "an error of a negative code": failed(-1, ""),
    "no message at all": lambda reply: object(),  # type: ignore[arg-type,return-value]
}
VAL = "report/b/val/current"
EVALUATE: dict[str, Spoil] = {
    "tensors in an evaluation": add("weights", ArrayRecord({"w": Array(W)})),
    "an evaluation without AUC": drop(VAL, "auc"),
    "an evaluation without loss": drop(VAL, "loss"),
    "an AUC of 7": number(VAL, "auc", 7.0),
    "an AUC of infinity": number(VAL, "auc", float("inf")),
    "a negative loss": number(VAL, "loss", -0.5),
    "a loss of minus infinity": number(VAL, "loss", float("-inf")),
    "a term in an evaluation": number(VAL, "my_term", 1.0),
    "an evaluation of another hospital": renamed(VAL, "report/c/val/current"),
    "an evaluation of the final model": renamed(VAL, "report/b/val/final"),
    "an evaluation of training images": renamed(VAL, "report/b/train/current"),
}
OTHERS: dict[str, dict[str, Spoil]] = {
    "train.frozen": {
        "tensors in a frozen round": add("weights", ArrayRecord({"w": Array(W)})),
        "a frozen round on more images": number(KEY, "num_examples", 51),
    },
    "train.finish": {
        "a choice of an unknown candidate": number("report/b/val/final", "chose_best", 1.0),
        "a choice in a candidate's report": number("report/b/val/kept", "chose_kept", 1.0),
        "last steps of the current model": renamed("report/b/val/kept", VAL),
    },
    "query.register": {
        "metrics in a registration": number(KEY, "loss", 1.0),
        "tensors in a registration": add("weights", ArrayRecord({"w": Array(W)})),
    },
}
CASES: list[tuple[str, str, Spoil]] = [
    *(("train", name, spoil) for name, spoil in TRAIN.items()),
    *(("evaluate", name, spoil) for name, spoil in EVALUATE.items()),
    *((action, name, spoil) for action, some in OTHERS.items() for name, spoil in some.items()),
]
