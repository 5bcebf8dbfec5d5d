"""What travels between server and sites: orders down, releases and reports up.

The only place that knows how Consilium's values become Flower records.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from federated.sharing import Boundary, Release

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Order:
    """What the server asks of a site.

    Attributes:
        method: Method of this run, a key of the study.
        seed: Seed of this run.
        round: 1-based; 0 is registration.
        site: Which of its sites the node shall act for; empty: all that it hosts.
        sites: Comma-separated names of all sites of the run.
        folder: The run's folder; a site without a vault of its own configured keeps it in there.
        code: Digest of the server's code; a site with other code refuses.
        week: Virtual weeks since the rollout began, when the message is sent; decides how many of
            its images the site has by then, and with which scanner they were taken.
        phase: What a site takes part in: ``full``, ``frozen`` (it trains only what is private) or
            ``evaluate`` (it trains nothing).
        newcomer: Whether the site meets the federation's weights for the first time, after others
            have trained them.
        void: Rounds whose private state must not be used any more, such as ``3-7,9-12``.
        keep_all: Whether private state of older rounds may be needed again.
    """

    method: str
    seed: int
    round: int
    site: str
    sites: str
    folder: str
    code: str
    week: float = 0.0
    phase: str = "full"
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


def pack_order(order: Order, shared: ArrayRecord | None) -> RecordDict:
    """Return the content of a message to a site."""
    content = RecordDict({"order": ConfigRecord(asdict(order))})
    if shared is not None:
        content["shared"] = shared
    return content


def unpack_order(message: Message) -> Order:
    """Return the order in a message to a site."""
    record = message.content.config_records["order"]
    return Order(**{field.name: record[field.name] for field in fields(Order)})  # type: ignore[arg-type]


def pack_arrays(arrays: Mapping[str, npt.NDArray[np.generic]]) -> ArrayRecord:
    """Return arrays as a Flower record, in their order."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def unpack_tensors(record: ArrayRecord) -> dict[str, Tensor]:
    """Return the tensors of a record, writable copies."""
    return {name: torch.from_numpy(array.numpy().copy()) for name, array in record.items()}


def pack_reply(message: Message, released: Release | None, reports: Iterable[Report]) -> Message:
    """Return a site's reply: its release, if it trained, and its reports."""
    content = RecordDict()
    if released is not None:
        content["shared"] = pack_arrays({n: t.numpy() for n, t in released.tensors.items()})
    for report in reports:
        key = f"report/{report.site}/{report.split}/{report.model}"
        numbers: dict[str, int | float] = {n: float(v) for n, v in report.metrics.items()}
        content[key] = MetricRecord({"num_examples": report.num_examples, **numbers})
    return Message(content, reply_to=message)


def unpack_reports(content: RecordDict) -> list[Report]:
    """Return the reports in a reply."""
    reports = []
    for key, record in content.metric_records.items():
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
    record = content.array_records.get("shared", ArrayRecord())
    if set(record) != set(boundary.shared_names):
        raise BadReplyError("it sent other tensors than the boundary admits")
    arrays = {}
    for spec in boundary.shared:
        array = record[spec.name].numpy()
        if array.shape != spec.shape or str(array.dtype) != spec.dtype:
            raise BadReplyError(f"its {spec.name} has another shape or dtype than the boundary's")
        if not np.isfinite(array).all():
            raise BadReplyError(f"its {spec.name} holds a value that is not finite")
        arrays[spec.name] = array
    return arrays


def payload_bytes(content: RecordDict) -> int:
    """Return the bytes of the tensors in a message, as serialised."""
    return sum(map(record_bytes, content.array_records.values()))


def record_bytes(record: ArrayRecord) -> int:
    """Return the bytes of the tensors in a record, as serialised."""
    return sum(len(array.data) for array in record.values())
