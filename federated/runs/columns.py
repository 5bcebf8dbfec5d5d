"""The columns of a run's tables, and those by which their rows are told apart."""

CELL = ["method", "seed"]
ROUND = [*CELL, "round"]
SITE = [*CELL, "site"]
SITE_ROUND = [*ROUND, "site"]

_WHERE = {"method": str, "seed": int, "round": int, "site": str}

METRIC_TYPES = {
    **_WHERE, "split": str, "model": str, "metric": str, "value": float, "num_examples": int,
}  # fmt: skip
"""Of ``metrics.csv``: one number a row."""
METRIC_COLUMNS = tuple(METRIC_TYPES)

RECEIVED_COLUMNS = (*_WHERE, "action", "bytes", "tensors", "numbers")
"""Of ``received.csv``: one reply a row, its bytes of tensors and two digests."""

TIMELINE_TYPES = {**_WHERE, "activity": str, "start": float, "end": float}
"""Of ``timeline.csv``: one activity a row, virtual hours since week 0."""
TIMELINE_COLUMNS = tuple(TIMELINE_TYPES)

DATA_COLUMNS = ("site", "name", "value")
"""Of ``data_statistics.csv``: one number a row; NaN where it was withheld."""
