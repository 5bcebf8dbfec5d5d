"""What a run ends with: its plots and page, its summary on the screen, and the last line."""

import sys
from pathlib import Path

from federated.commands.ending import Unheard, in_folder
from federated.errors import UserError


def say(text: str, style: str) -> None:
    """Print a line on what is done now, where someone reads it."""
    if style == "auto":
        print(text, file=Unheard(sys.stderr))


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


def write_reports(folders: list[Path], path: Path | None) -> None:
    """Write the page of a run, or one of several runs."""
    if len(folders) == 1:
        if path:
            raise UserError(f"--to is for several runs; {folders[0]} has a page of its own.")
        write_report(folders[0])
        return
    from federated.lazy import without_collector

    with without_collector():
        from federated.report import comparison_text, write_side_by_side
        from federated.runs.reading import load
    runs = [load(folder) for folder in folders]
    page = write_side_by_side(runs, path or runs[0].folder / "side-by-side.html")
    for other in runs[1:]:
        print(comparison_text(runs[0], other))
    print(f"page: {page}")


def write_report(folder: Path, *, style: str = "auto") -> None:
    """Draw the plots and the page of a run, and print its summary unless it is to be quiet."""
    from federated.lazy import without_collector

    with without_collector():
        from federated.report import summary_table, write_summary
        from federated.runs.reading import load
    run = load(folder)
    say("drawing plots and the summary page …", style)
    try:
        run.write_parquet()
        page = write_summary(run)
    except OSError as error:
        raise in_folder(error, folder) from None
    if style == "auto":
        print(summary_table(run))
        count = len(list(run.files.plots.glob("*.png")))
        print(f"summary: {page}\nplots:   {run.files.plots} ({count} pictures)")
