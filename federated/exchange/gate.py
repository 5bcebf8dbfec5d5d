"""The egress gate: the last step before a reply leaves a site, made anew of what is on the lists.

Nothing of the reply is passed along. Tensors are those of the schema in its order, written as
``write_npy`` would; numbers are those of the forms (``federated.exchange.reports``), rounded; an
error is a code. What differs is held back, and named in the site's own log only: a name can hold
as much as a tensor. docs/THREATS.md says which ways out this closes, and which it cannot.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict

from federated.exchange.actions import RELEASING
from federated.exchange.failures import FAILED, REASONS
from federated.exchange.npy import npy_header, read_npy
from federated.exchange.policy import Policy
from federated.exchange.reports import FORMS, RATIOS, read_reports
from federated.exchange.schema import Schema
from federated.exchange.sharing import TensorSpec
from federated.exchange.statistics import KEY, withheld
from federated.exchange.wire import (
    NUMPY,
    BadReplyError,
    Report,
    metric_record,
    records_of,
    report_key,
)

_INTEGERS: Mapping[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "float16": (np.uint16, 10),
    "float32": (np.uint32, 23),
    "float64": (np.uint64, 52),
}
"""Float dtype -> unsigned integers of its size, and the bits of its fraction."""


class EgressError(Exception):
    """A reply that must not leave; what it says is for the site's own log."""


@dataclass(frozen=True)
class Gate:
    """What one reply of a site may hold.

    Attributes:
        policy: The site's.
        schema: What a reply to this action holds of tensors, if it holds any.
        sites: Whom the reply may report on, in order.
        fewest: Returns how many images of the rarer class a site's split has.
    """

    policy: Policy
    schema: Schema
    sites: Sequence[str]
    fewest: Callable[[str, str], int]

    def passed(self, action: str, content: RecordDict) -> RecordDict:
        """Return a new content with what of a reply may leave.

        Raises:
            EgressError: something is in it that may not, or something is missing.
        """
        arrays, metrics = records_of(content, ArrayRecord), records_of(content, MetricRecord)
        if others := [name for name in content if name not in {**arrays, **metrics}]:
            raise EgressError(f"the record {others[0]!r:.80} is neither tensors nor a report")
        tensors = self._tensors(arrays) if action in RELEASING else _none(arrays)
        reports = self._reports(action, RecordDict({**metrics}))
        return RecordDict({**tensors, **{report_key(r): metric_record(r) for r in reports}})

    def _tensors(self, records: Mapping[str, ArrayRecord]) -> dict[str, ArrayRecord]:
        arrived = {f"{g}/{name}": a for g, record in records.items() for name, a in record.items()}
        if more := [name for name in arrived if name not in self.schema.by_name]:
            raise EgressError(f"the tensor {more[0]!r:.200} is not on the list of what may leave")
        if missing := [name for name in self.schema.by_name if name not in arrived]:
            raise EgressError(f"the tensor {missing[0]} is missing from a release")
        groups: dict[str, dict[str, Array]] = {}
        for spec in self.schema.tensors:
            group, _, name = spec.name.partition("/")
            array = exact(arrived[spec.name], spec, self.policy.mantissa_bits)
            groups.setdefault(group, {})[name] = array
        if empty := [name for name in records if name not in groups]:
            raise EgressError(f"the group {empty[0]!r:.80} is not on the list of what may leave")
        return {group: ArrayRecord(record) for group, record in groups.items()}

    def _reports(self, action: str, content: RecordDict) -> list[Report]:
        try:
            reports = read_reports(content, action, self.sites)
        except BadReplyError as error:
            raise EgressError(f"a report is not of its form: {error}") from error
        forms = FORMS.get(action, {})
        places = {key: place for place, key in enumerate(forms)}
        names = {name: place for place, name in enumerate(self.sites)}
        reports.sort(key=lambda r: (names[r.site], places[r.split, r.model]))
        return [self._report(report, forms[form_of(report)].checks) for report in reports]

    def _report(self, report: Report, declared: Collection[str]) -> Report:
        """Return a report as it may leave: its numbers in one order, rounded or withheld."""
        terms = sorted(name for name in report.metrics if name not in declared)
        allowed = self.policy.terms
        if allowed is not None and (more := [name for name in terms if name not in allowed]):
            raise EgressError(f"the policy lists no number {more[0]!r:.80}")
        names = [*(name for name in declared if name in report.metrics), *terms]
        metrics = {name: rounded(report.metrics[name], self.policy.digits) for name in names}
        return self._withheld(replace(report, metrics=metrics))

    def _withheld(self, report: Report) -> Report:
        """Return a report without what would tell of too few images."""
        minimum, metrics = self.policy.minimum, dict(report.metrics)
        if form_of(report) == KEY:
            enough = report.num_examples >= minimum
            return replace(
                report,
                num_examples=report.num_examples if enough else 0,
                metrics=withheld(metrics, minimum) if enough else {},
            )
        if 0 < report.num_examples < minimum and report.split == "train":
            raise EgressError(f"{report.num_examples} training images are fewer than {minimum}")
        if minimum and report.split != "train":
            if self.fewest(report.site, report.split) < minimum:
                metrics |= {name: math.nan for name in RATIOS if name in metrics}
            if report.num_examples < minimum:
                return replace(report, num_examples=0, metrics={**metrics, "loss": math.nan})
        return replace(report, metrics=metrics)


def form_of(report: Report) -> tuple[str, str]:
    """Return which of an action's forms a report has."""
    return report.split, report.model


def _none(records: Mapping[str, ArrayRecord]) -> dict[str, ArrayRecord]:
    """Refuse tensors in a reply that has none, an empty record's name included."""
    for group, record in records.items():
        name = next(iter(record), "")
        raise EgressError(f"the tensor {f'{group}/{name}'!r:.200} is in a reply that has none")
    return {}


def exact(array: Array, spec: TensorSpec, mantissa_bits: int) -> Array:
    """Return an array as the schema has it: its dtype and shape, numpy's header, finite values.

    Args:
        array: What a reply holds.
        spec: What it must be.
        mantissa_bits: Leading bits of the fraction that are kept of each float; 0: all.

    Raises:
        EgressError: it is another one, a bool is neither 0 nor 1, or a value is not finite.
    """
    dtype, told = np.dtype(spec.dtype), (array.dtype, tuple(array.shape), array.stype)
    if told != (spec.dtype, spec.shape, NUMPY):
        raise EgressError(f"the tensor {spec.name} has another shape or dtype than agreed")
    head, data = npy_header(dtype.str, spec.shape), bytes(array.data)
    if data[: len(head)] != head or len(data) != len(head) + math.prod(spec.shape) * dtype.itemsize:
        raise EgressError(f"the tensor {spec.name} holds bytes beside its values")
    values = read_npy(data)
    if not np.isfinite(values).all():
        raise EgressError(f"the tensor {spec.name} holds a value that is not finite")
    if spec.dtype == "bool" and (values.view(np.uint8) > 1).any():
        raise EgressError(f"the tensor {spec.name} holds bytes that are neither true nor false")
    if spec.dtype in _INTEGERS and 0 < mantissa_bits < _INTEGERS[spec.dtype][1]:
        values = shortened(values, mantissa_bits)
        if not np.isfinite(values).all():
            raise EgressError(f"the tensor {spec.name} holds a value too large to be rounded")
        data = head + values.tobytes()
    return Array(spec.dtype, spec.shape, NUMPY, data)


def shortened(values: npt.NDArray[np.generic], bits: int) -> npt.NDArray[np.generic]:
    """Return floats rounded to so many bits of their fraction, the nearest, ties away from zero."""
    kind, fraction = _INTEGERS[str(values.dtype)]
    dropped = fraction - bits
    whole = values.view(kind) + kind(1 << (dropped - 1))
    short: npt.NDArray[np.generic] = (whole >> kind(dropped) << kind(dropped)).view(values.dtype)
    return short


def rounded(value: float, digits: int) -> float:
    """Return a number in the one form it has: rounded, one NaN, and no minus zero."""
    if math.isnan(value):
        return math.nan
    return (round(value, digits) if digits >= 0 and math.isfinite(value) else value) + 0.0


def plain_error(message: Message, reply: Message) -> Message:
    """Return an error reply that holds a known code and its sentence, and nothing else."""
    code = reply.error.code if reply.error.code in REASONS else FAILED
    return Message(Error(code, REASONS[code]), reply_to=message)
