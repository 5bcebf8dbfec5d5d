"""What is worked out of a run once, however many figures and tables start from it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import pandas as pd

from federated.runs.reading import Run

P = ParamSpec("P")


def once(
    make: Callable[Concatenate[Run, P], pd.DataFrame],
) -> Callable[Concatenate[Run, P], pd.DataFrame]:
    """Have a function of a run keep what it returned beside the run; whoever asks gets a copy."""

    @wraps(make)
    def kept(run: Run, /, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        key = (make.__module__, make.__qualname__, args, tuple(sorted(kwargs.items())))
        if key not in run.worked_out:
            run.worked_out[key] = make(run, *args, **kwargs)
        return run.worked_out[key].copy()

    return kept
