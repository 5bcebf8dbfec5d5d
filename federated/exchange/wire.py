"""What travels between server and sites: orders down, releases and reports up.

The only place that knows how Consilium's values become Flower records.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from federated.exchange.sharing import Boundary, Release, as_group

Arrays = dict[str, npt.NDArray[np.generic]]


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


@dataclass(frozen=True)
class Report:
    """Numbers about one split of one site under one model; all that is told of its images."""

    site: str
    split: str
    model: str
    num_examples: int
    metrics: Mapping[str, float]


class BadReplyError(Exception):
    """A reply that must not be aggregated; the message is one of a few fixed sentences."""


Groups = Mapping[str, ArrayRecord]
"""What the server sends, or a site releases: a record of arrays for each named group."""


def pack_order(order: Order, sent: Groups) -> RecordDict:
    """Return the content of a message to a site."""
    record = _order_record(replace(order, site="")).copy()
    record["site"] = order.site
    return RecordDict({"order": record, **sent})


@lru_cache(maxsize=16)
def _order_record(order: Order) -> ConfigRecord:
    """Return the record of orders that are alike: Flower checks each value that is put in."""
    return ConfigRecord(dict(vars(order)))


def unpack_order(message: Message) -> Order:
    """Return the order in a message to a site."""
    record = dict(message.content["order"].items())
    return Order(**{name: record[name] for name in ORDER_FIELDS})  # type: ignore[arg-type]


ORDER_FIELDS = tuple(field.name for field in fields(Order))


def pack_groups(arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, ArrayRecord]:
    """Return arrays by ``GROUP/NAME`` as one Flower record a group, in their order."""
    records: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        records.setdefault(group, {})[name] = Array(np.asarray(array))
    return {group: ArrayRecord(record) for group, record in records.items()}


def arrays_in(groups: Groups) -> dict[str, Array]:
    """Return what ``pack_groups`` packed, by ``GROUP/NAME``, unread."""
    return {
        key: array
        for group, record in groups.items()
        for key, array in as_group(record, group).items()
    }


def unpack_tensors(content: RecordDict) -> dict[str, Tensor]:
    """Return the tensors in a message by ``GROUP/NAME``, writable copies."""
    arrays = arrays_in(content.array_records)
    return {key: torch.from_numpy(unpack_array(array).copy()) for key, array in arrays.items()}


def unpack_array(array: Array) -> npt.NDArray[np.generic]:
    """Return a read-only view of an array's bytes; Flower's own ``numpy`` copies and parses them.

    Raises:
        ValueError: they are not an array of numbers.
    """
    if array.data[:8] != NPY_1_0:
        return array.numpy()
    start = 10 + int.from_bytes(array.data[8:10], "little")
    shape, order, dtype = _npy_header(array.data[8:start])
    if dtype.hasobject:
        raise ValueError("an array of objects, not of numbers")
    return np.ndarray(shape, dtype, buffer=array.data, offset=start, order=order)


NPY_1_0 = np.lib.format.magic(1, 0)


@lru_cache(maxsize=4096)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[np.generic]]:
    """Return shape, order and dtype in the header of a ``.npy``, which begins with its length."""
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(BytesIO(header))
    return shape, "F" if fortran else "C", dtype


def pack_reply(message: Message, released: Release | None, reports: Iterable[Report]) -> Message:
    """Return a site's reply: its release, if it trained, and its reports."""
    tensors = released.tensors if released is not None else {}
    content = RecordDict({**pack_groups({name: t.numpy() for name, t in tensors.items()})})
    for report in reports:
        key = f"report/{report.site}/{report.split}/{report.model}"
        numbers: dict[str, int | float] = {n: float(v) for n, v in report.metrics.items()}
        content[key] = MetricRecord({"num_examples": report.num_examples, **numbers})
    return Message(content, reply_to=message)


def unpack_reports(content: RecordDict) -> list[Report]:
    """Return the reports in a reply."""
    reports = []
    for key, record in content.items():
        if isinstance(record, MetricRecord):
            _, site, split, model = key.split("/")
            numbers = {name: float(value) for name, value in record.items()}  # type: ignore[arg-type]
            count = int(numbers.pop("num_examples"))
            reports.append(Report(site, split, model, count, numbers))
    return reports


def unpack_release(content: RecordDict, boundary: Boundary) -> Arrays:
    """Return the arrays that a site released, checked against what it may release.

    Raises:
        BadReplyError: names, shapes or dtypes differ from the boundary, or a value is not finite.
    """
    released = arrays_in(content.array_records)
    if set(released) != {spec.name for spec in boundary.shared}:
        raise BadReplyError("it sent other tensors than the boundary admits")
    arrays = {}
    for spec in boundary.shared:
        try:
            array = unpack_array(released[spec.name])
        except (ValueError, TypeError) as error:
            raise BadReplyError(f"its {spec.name} cannot be read") from error
        if array.shape != spec.shape or str(array.dtype) != spec.dtype:
            raise BadReplyError(f"its {spec.name} has another shape or dtype than the boundary's")
        if not np.isfinite(array).all():
            raise BadReplyError(f"its {spec.name} holds a value that is not finite")
        arrays[spec.name] = array
    return arrays


def payload_bytes(content: RecordDict) -> int:
    """Return the bytes of the tensors in a message, as serialised."""
    return sum(record_bytes(r) for r in content.values() if isinstance(r, ArrayRecord))


def record_bytes(record: ArrayRecord) -> int:
    """Return the bytes of the tensors in a record, as serialised."""
    return sum(len(array.data) for array in record.values())
