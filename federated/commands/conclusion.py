"""The last line of ``consilium run --json``: what came out, and where it lies."""

import json
import math
from datetime import UTC, datetime

from federated.runs.reading import Run

SHOWN = ("auc", "sensitivity", "specificity", "f1", "balanced_accuracy")
CHOSEN = ("kept", "final")


def conclusion(run: Run) -> str:
    """Return one JSON object: test metrics of the chosen models, and the paths of the run.

    ``metrics`` has a row per model, method, seed, site and metric, as ``Run.metrics`` has them;
    a number that is undefined is null.
    """
    rows = run.metrics
    test = rows[(rows["split"] == "test") & rows["model"].isin(CHOSEN) & rows["metric"].isin(SHOWN)]
    columns = ["method", "seed", "site", "model", "metric", "value", "num_examples"]
    metrics = [
        {**row, "value": None if math.isnan(row["value"]) else row["value"]}
        for row in test[columns].to_dict("records")
    ]
    files = run.files
    paths = {
        "folder": files.path,
        "metrics": files.metrics,
        "plots": files.plots,
        "summary": files.summary,
    }
    there = {name: str(path) for name, path in paths.items() if path.exists()}
    now = datetime.now(UTC).isoformat()
    return json.dumps({"time": now, "kind": "conclusion", "metrics": metrics, "paths": there})
