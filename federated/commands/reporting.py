"""What a run ends with: its plots and page, its summary on the screen, and the last line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from federated.commands.ending import Unheard, in_folder
from federated.errors import UserError


def say(text: str, style: str) -> None:
    """Print a line on what is done now, where someone reads it."""
    if style == "auto":
        print(text, file=Unheard(sys.stderr))


@contextmanager
def drawing(*, style: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows which figure is drawn: a bar in a terminal, elsewhere one line.

    Args:
        style: As for ``progress.progress``; only ``auto`` shows anything.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=cast(TextIO, Unheard(sys.stderr)))
    if style != "auto" or not console.is_terminal:
        say("drawing plots and the summary page …", style)
        yield lambda name, begun, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("reading the run")

        def report(name: str, begun: int, total: int) -> None:
            bars.update(task, description=f"drawing {name}", completed=begun, total=total)

        yield report


def conclude(folder: Path, style: str) -> None:
    """Print the last line of a run: with ``--quiet`` where it is, with ``--json`` what came out."""
    from federated.runs.folder import RunFolder

    if style == "json":
        from federated.commands.conclusion import conclusion
        from federated.runs.reading import load

        print(conclusion(load(folder)))
    elif style == "quiet":
        page = RunFolder(folder).summary
        print(f"ended: {page if page.exists() else folder}")


def write_reports(folders: list[Path], path: Path | None, *, patients: bool = False) -> None:
    """Write the page of a run, or one of several runs, on request with patients' images."""
    if len(folders) == 1:
        if path:
            raise UserError(f"--to is for several runs; {folders[0]} has a page of its own.")
        write_report(folders[0], patients=patients)
        return
    from federated.lazy import without_collector

    with without_collector():
        from federated.report import comparison_text, write_side_by_side
        from federated.runs.reading import load
    runs = [load(folder) for folder in folders]
    path = path or runs[0].folder / "side-by-side.html"
    with drawing(style="auto") as report:
        page = write_side_by_side(runs, path, patients=patients, report=report)
    for other in runs[1:]:
        print(comparison_text(runs[0], other))
    print(f"page: {page}")


def write_report(folder: Path, *, style: str = "auto", patients: bool = False) -> None:
    """Draw the plots and the page of a run, and print its summary unless it is to be quiet."""
    from federated.lazy import without_collector

    with without_collector():
        from federated.report import summary_table, write_summary
        from federated.runs.reading import load
    run = load(folder)
    try:
        run.write_parquet()
        with drawing(style=style) as report:
            page = write_summary(run, patients=patients, report=report)
    except OSError as error:
        raise in_folder(error, folder) from None
    if style == "auto":
        print(summary_table(run))
        count = len(list(run.files.plots.glob("*.png")))
        print(f"summary: {page}\nplots:   {run.files.plots} ({count} pictures)")
