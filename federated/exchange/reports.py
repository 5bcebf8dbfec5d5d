"""Which numbers a site may report, declared once, and the reading of what came back.

By action, split and model: names that must be there, names that may be, and what values each can
have. A method's own terms of the loss are reported under their names, which no list can foresee:
a report of training may hold up to ``MOST_TERMS`` further numbers with names such as ``my_term``,
none of which is declared here for anything else.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from federated.exchange.actions import Action
from federated.exchange.candidates import CANDIDATES
from federated.exchange.statistics import ALONE, CLASSES, GREY, KEY, PATIENTS, SIZES
from federated.exchange.wire import BadReplyError, Report, records_of

MOST_EXAMPLES = 2**29 - 1
"""A float32 times a weight up to this is exact in float64."""
MOST_COUNTED = 2**53
MOST_TERMS = 16
TERM = re.compile(r"[a-z][a-z0-9_]{0,39}")

Check = Callable[[float], bool]
Numbers = Mapping[str, Check]


def is_count(value: float) -> bool:
    """Return whether a value counts something."""
    return 0 <= value <= MOST_COUNTED and float(value).is_integer()


def is_ratio(value: float) -> bool:
    """Return whether a value is in 0..1, or NaN: a ratio of nothing, as of a class not there."""
    return 0 <= value <= 1 or math.isnan(value)


def is_amount(value: float) -> bool:
    """Return whether a value is finite and not negative."""
    return 0 <= value < math.inf


def is_loss(value: float) -> bool:
    """Return whether a value may be a loss on images: infinite or NaN when a network diverged."""
    return not value < 0


@dataclass(frozen=True)
class Form:
    """What a report of one split and model holds.

    Attributes:
        required: Names that must be there, with the check of each.
        admitted: Names that may be there.
        terms: Whether a method's own terms may be there too.
    """

    required: Numbers = field(default_factory=dict)
    admitted: Numbers = field(default_factory=dict)
    terms: bool = False

    @cached_property
    def checks(self) -> Numbers:
        """The check of every name that is declared."""
        return {**self.admitted, **self.required}

    def check(self, numbers: Mapping[str, float]) -> None:
        """Compare a report with the form.

        Raises:
            BadReplyError: a number is missing, not admitted, or not what it can be.
        """
        if missing := next((name for name in self.required if name not in numbers), ""):
            raise BadReplyError(f"its report lacks {missing}")
        checks = self.checks
        others = [name for name in numbers if name not in checks]
        if others and not (self.terms and len(others) <= MOST_TERMS and all(map(is_term, others))):
            raise BadReplyError("its report holds numbers that nobody asked for")
        for name, value in numbers.items():
            if not checks.get(name, math.isfinite)(value):
                shown = name if name in checks else "a term of the loss"
                raise BadReplyError(f"its report has a value that cannot be: {shown}")


def is_term(name: str) -> bool:
    """Return whether a name may be that of a method's own term of the loss."""
    return TERM.fullmatch(name) is not None and name not in DECLARED


RATIOS = ("auc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "precision")
MEASURED: Numbers = {**dict.fromkeys(RATIOS, is_ratio), "loss": is_loss}
SEEN: Numbers = {"steps": is_count, "images_seen": is_count}
TRAINED: Numbers = {
    **dict.fromkeys(("loss", "cross_entropy", "contrastive"), math.isfinite),
    **dict.fromkeys(("gradient_norm", "seconds", "memory_age", "epsilon"), is_amount),
    "delta": is_ratio,
    "memory_entries": is_count,
}
CHOSEN: Numbers = {
    "kept_round": is_count,
    **dict.fromkeys((f"chose_{model}" for model in CANDIDATES), is_ratio),
}
TOLD: Numbers = {
    **dict.fromkeys([*CLASSES, *SIZES, *PATIENTS, *ALONE], lambda v: math.isnan(v) or is_count(v)),
    **dict.fromkeys(GREY, is_ratio),
    "epsilon": is_amount,
}
SERVERS_OWN = ("bytes_up", "bytes_down")
"""What the server itself records of a site."""
DECLARED = frozenset([*MEASURED, *SEEN, *TRAINED, *CHOSEN, *TOLD, *SERVERS_OWN, "num_examples"])

TRAINING = {("train", "current"): Form(SEEN, TRAINED, terms=True)}
FORMS: Mapping[str, Mapping[tuple[str, str], Form]] = {
    Action.REGISTER: {("train", "current"): Form(admitted={"named": is_ratio})},
    Action.STATISTICS: {KEY: Form(admitted=TOLD)},
    Action.TRAIN: TRAINING,
    Action.TRAIN_FROZEN: TRAINING,
    Action.EVALUATE: {(split, "current"): Form(MEASURED) for split in ("val", "test")},
    Action.FINISH: {
        (split, model): Form(MEASURED, CHOSEN if model == "final" else {})
        for split in ("val", "test")
        for model in (*CANDIDATES, "final")
    },
}
"""Action -> (split, model) -> what a report on it holds."""


def read_reports(content: RecordDict, action: str, sites: Collection[str]) -> list[Report]:
    """Return the reports in a reply, checked; each key is there once, as keys of a record are.

    Args:
        content: Of the reply.
        action: What was asked.
        sites: Whom it was asked about.

    Raises:
        BadReplyError: a report is about something else, or not of its form.
    """
    if records_of(content, ConfigRecord):
        raise BadReplyError("it sent something beside tensors and reports")
    records = records_of(content, MetricRecord)
    return [
        _read_report(key, record, FORMS.get(action, {}), sites) for key, record in records.items()
    ]


def _read_report(
    key: str,
    record: MetricRecord,
    forms: Mapping[tuple[str, str], Form],
    sites: Collection[str],
) -> Report:
    kind, site, split, model = key.split("/") if key.count("/") == 3 else ("", "", "", "")
    if kind != "report" or site not in sites or (split, model) not in forms:
        raise BadReplyError("it reported on something that it was not asked about")
    numbers = dict(record.items())
    count = numbers.pop("num_examples", None)
    if type(count) is not int or not 0 <= count <= MOST_EXAMPLES:
        raise BadReplyError("its report has no number of images that can be")
    if not all(type(value) in (int, float) for value in numbers.values()):
        raise BadReplyError("its report holds lists, not numbers")
    try:
        floats = {name: float(value) for name, value in numbers.items()}  # type: ignore[arg-type]
    except OverflowError:
        raise BadReplyError("its report has a value that cannot be") from None
    forms[split, model].check(floats)
    return Report(site, split, model, count, floats)
