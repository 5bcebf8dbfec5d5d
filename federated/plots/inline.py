"""Figures as pictures in a notebook, also before anything there has imported pyplot."""

import sys
from typing import Any

from matplotlib.figure import Figure


def show_in_notebooks() -> None:
    """Have IPython, where it runs, show a figure as a PNG unless it knows how to show one already.

    It learns that from pyplot, which these figures do without; so it would print their size.
    """
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or any(
        Figure in formatter for formatter in shell.display_formatter.formatters.values()
    ):
        return
    from IPython.core.pylabtools import select_figure_formats

    select_figure_formats(shell, {"png"})  # type: ignore[no-untyped-call]
