"""The columns of a run's tables, and those by which their rows are told apart."""

CELL = ["method", "seed"]
ROUND = [*CELL, "round"]
SITE = [*CELL, "site"]
SITE_ROUND = [*ROUND, "site"]

METRIC_COLUMNS = (*SITE_ROUND, "split", "model", "metric", "value", "num_examples")
"""Of ``metrics.csv``: one number a row."""

TIMELINE_COLUMNS = (*SITE_ROUND, "activity", "start", "end")
"""Of ``timeline.csv``: one activity a row, virtual hours since week 0."""
