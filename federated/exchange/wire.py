"""What travels between server and sites: orders down, releases and reports up.

The only place that knows how Consilium's values become Flower records.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from federated.exchange.npy import read_npy, write_npy
from federated.exchange.sharing import Boundary, Release, TensorSpec, as_group

NUMPY = "numpy.ndarray"
"""What Flower calls the form of an array's bytes."""
Arrays = dict[str, npt.NDArray[np.generic]]
Record = TypeVar("Record", ArrayRecord, MetricRecord, ConfigRecord)


ALL_SITES = "(all sites)"
"""Instead of a site's name in an order: all sites of the run, as pooled training has them."""


@dataclass(frozen=True)
class Order:
    """What the server asks of a site.

    Attributes:
        method: Method of this run, a key of the study.
        seed: Seed of this run.
        round: 1-based; 0 is registration.
        site: Which of its sites the node shall act for, or ``ALL_SITES``; empty: all that it
            hosts.
        folder: The run's folder; a site without a vault of its own configured keeps it in there.
        code: Digest of the server's code; a site with other code refuses.
        week: Virtual weeks since the rollout began, when the message is sent; decides how many of
            its images the site has by then, and with which scanner they were taken.
        newcomer: Whether the site meets the federation's weights for the first time, after others
            have trained them.
        void: Rounds whose private state must not be used any more, such as ``3-7,9-12``.
        keep_all: Whether private state of older rounds may be needed again.
        run: Id of the run; a vault goes on with no other.
        after: The newest round whose private state the site must have; 0: it may have none.
    """

    method: str
    seed: int
    round: int
    site: str
    folder: str
    code: str
    week: float = 0.0
    newcomer: bool = False
    void: str = ""
    keep_all: bool = False
    run: str = ""
    after: int = 0


@dataclass(frozen=True)
class Report:
    """Numbers about one split of one site under one model; all that is told of its images."""

    site: str
    split: str
    model: str
    num_examples: int
    metrics: Mapping[str, float]


class BadOrderError(Exception):
    """An order that a site must not follow."""


class BadReplyError(Exception):
    """A reply that must not be aggregated; the message is one of a few fixed sentences."""


class BadTensorsError(BadReplyError):
    """Tensors that are not those of the boundary, in a reply or in what a server sends."""


Groups = Mapping[str, ArrayRecord]
"""What the server sends, or a site releases: a record of arrays for each named group."""


def pack_order(order: Order, sent: Groups) -> RecordDict:
    """Return the content of a message to a site."""
    record = _order_record(replace(order, site="", after=0)).copy()
    record["site"], record["after"] = order.site, order.after
    return RecordDict({"order": record, **sent})


@lru_cache(maxsize=16)
def _order_record(order: Order) -> ConfigRecord:
    """Return the record of orders that are alike: Flower checks each value that is put in."""
    return ConfigRecord(dict(vars(order)))


def unpack_order(message: Message) -> Order:
    """Return the order in a message to a site, each of its fields there and of its type.

    Raises:
        BadOrderError: it is not.
    """
    record = message.content.get("order") if message.has_content() else None
    if not isinstance(record, ConfigRecord):
        raise BadOrderError("the message holds no record 'order'")
    fields: dict[str, Any] = dict(record.items())
    if fields.keys() != ORDER_FIELDS.keys():
        raise BadOrderError("the order has not the fields of an order")
    for name, kind in ORDER_FIELDS.items():
        if type(fields[name]) is not kind:
            raise BadOrderError(f"{name} is no {kind.__name__}")
    return Order(**fields)


ORDER_FIELDS: Mapping[str, type] = get_type_hints(Order)
"""The name of each field, and its type."""


def pack_groups(arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, ArrayRecord]:
    """Return arrays by ``GROUP/NAME`` as one Flower record a group, in their order."""
    records: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        records.setdefault(group, {})[name] = _packed(np.asarray(array))
    return {group: ArrayRecord(record) for group, record in records.items()}


def _packed(array: npt.NDArray[np.generic]) -> Array:
    """Return what Flower makes of an array, to the bit."""
    return Array(str(array.dtype), array.shape, NUMPY, write_npy(array))


def arrays_in(groups: Groups) -> dict[str, Array]:
    """Return what ``pack_groups`` packed, by ``GROUP/NAME``, unread."""
    return {
        key: array
        for group, record in groups.items()
        for key, array in as_group(record, group).items()
    }


def unpack_array(array: Array) -> npt.NDArray[np.generic]:
    """Return a read-only view of an array's bytes; Flower's own ``numpy`` copies and evaluates.

    Raises:
        ValueError: they are not an array of numbers.
    """
    return read_npy(array.data)


def pack_reply(message: Message, released: Release | None, reports: Iterable[Report]) -> Message:
    """Return a site's reply: its release, if it trained, and its reports."""
    tensors = released.tensors if released is not None else {}
    content = RecordDict({**pack_groups({name: t.numpy() for name, t in tensors.items()})})
    for report in reports:
        content[report_key(report)] = metric_record(report)
    return Message(content, reply_to=message)


def report_key(report: Report) -> str:
    """Return the name of a report's record in a reply."""
    return f"report/{report.site}/{report.split}/{report.model}"


def metric_record(report: Report) -> MetricRecord:
    """Return a report's numbers as a record."""
    numbers: dict[str, int | float] = {n: float(v) for n, v in report.metrics.items()}
    return MetricRecord({"num_examples": report.num_examples, **numbers})


def unpack_admitted(content: RecordDict, boundary: Boundary) -> Arrays:
    """Return the arrays in a message by ``GROUP/NAME``, which must be those that a boundary admits.

    Raises:
        BadTensorsError: names, shapes or dtypes differ from the boundary, or a value is not finite.
    """
    records = records_of(content, ArrayRecord)
    arrived = arrays_in(records)
    if arrived.keys() != boundary.by_name.keys() or records.keys() != boundary.groups:
        raise BadTensorsError("it sent other tensors than the boundary admits")
    return {name: _admitted(arrived[name], spec) for name, spec in boundary.by_name.items()}


def unpack_tensors(content: RecordDict, boundary: Boundary) -> dict[str, Tensor]:
    """Return the same as ``unpack_admitted``, as writable copies; errors are the same too."""
    arrays = unpack_admitted(content, boundary)
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _admitted(packed: Array, spec: TensorSpec) -> npt.NDArray[np.generic]:
    try:
        array = unpack_array(packed)
    except (ValueError, TypeError) as error:
        raise BadTensorsError(f"its {spec.name} cannot be read") from error
    if array.shape != spec.shape or str(array.dtype) != spec.dtype:
        raise BadTensorsError(f"its {spec.name} has another shape or dtype than the boundary's")
    if not np.isfinite(array).all():
        raise BadTensorsError(f"its {spec.name} holds a value that is not finite")
    return array


def records_of(content: RecordDict, kind: type[Record]) -> dict[str, Record]:
    """Return the records of one kind; Flower's own properties check and write each anew."""
    return {name: record for name, record in content.items() if isinstance(record, kind)}


def payload_bytes(content: RecordDict) -> int:
    """Return the bytes of the tensors in a message, as serialised."""
    return sum(record_bytes(r) for r in content.values() if isinstance(r, ArrayRecord))


def record_bytes(record: ArrayRecord) -> int:
    """Return the bytes of the tensors in a record, as serialised."""
    return sum(len(array.data) for array in record.values())
