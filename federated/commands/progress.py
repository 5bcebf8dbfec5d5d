"""What a run shows while it runs: a live table in a terminal, plain lines elsewhere, or JSON."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from federated.commands.display import SHOWN_SITES, Display, title_of
from federated.commands.ending import SIGNALS, Stopped, Unheard
from federated.config.study import Study
from federated.data import SiteSummary
from federated.engine.grid import Listener

STOPPING = (signal.SIGINT, *SIGNALS)

TOLD_APART = {"site-failed", "update-shortened", "not-finite", "worker-lost", "cell-stopped"}
"""What stays above the live table."""

DEEDS = {
    "hospital-joined": "joins",
    "hospital-left": "leaves",
    "unlearned": "is unlearned",
    "not-finite": "predicts numbers that are not finite; kept only for want of another",
}


def plain_line(event: Mapping[str, Any]) -> str | None:
    """Return an event as a line for a log, or None if it is not worth one."""
    kind = event["kind"]
    if kind == "cell-started":
        if event["after"] == event["rounds"]:
            return f"{title_of(event)}: all {event['rounds']} rounds are done"
        after = f" after round {event['after']}" if event["after"] else ""
        return f"{title_of(event)}: {event['rounds']} rounds{after}"
    if kind == "last-steps-started":
        return f"{title_of(event)}: last steps"
    if kind == "cell-stopped":
        return f"{title_of(event)} stopped: {event['reason']}"
    if kind == "worker-lost":
        return f"  a worker was lost (try {event['tries']}); its site goes to a fresh one"
    if "round" not in event:
        return None
    where = f"  {title_of(event)}, round {event['round']}"
    if kind == "round-ended":
        week = f", week {event['week']:.4g}" if "week" in event else ""
        speed = event["images"] / event["seconds"]
        cost = f"{event['seconds']:.1f} s, {speed:.0f} images/s"
        aucs = f"val AUC {auc_text(event['val_auc'])} | " if event["val_auc"] else ""
        return f"{where}{week}: {aucs}{cost}"
    if kind in DEEDS:
        return f"{where}: {event['site']} {DEEDS[kind]}"
    if kind == "update-shortened":
        lengths = f"norm {event['norm']:.3g}, the bound is {event['bound']:.3g}"
        return f"{where}: the update of {event['site']} is shortened ({lengths})"
    if kind == "site-failed":
        what = f"{event['site']} left out ({event['action']}): {event['reason']}"
        return f"{where}: {what}"
    return None


def auc_text(aucs: Mapping[str, float | None]) -> str:
    """Return every site's AUC, or of many sites the mean and the worst."""
    if len(aucs) <= SHOWN_SITES:
        return " ".join(f"{s} {'-' if a is None else f'{a:.3f}'}" for s, a in aucs.items()) or "-"
    known = {site: auc for site, auc in aucs.items() if auc is not None}
    if not known:
        return f"undefined at all {len(aucs)} sites"
    worst = min(known, key=lambda site: known[site])
    mean = sum(known.values()) / len(known)
    return f"mean {mean:.3f}, worst {worst} {known[worst]:.3f}, {len(aucs)} sites"


def site_lines(summaries: Sequence[SiteSummary]) -> list[str]:
    """Return a line on the images of each hospital, and one on what its import left out."""
    lines = []
    for site in summaries[:SHOWN_SITES]:
        parts = [f"{sum(counts)} {split}" for split, counts in site.counts.items()]
        by_class = [sum(counts) for counts in zip(*site.counts.values(), strict=True)]
        named = list(zip(by_class, site.classes, strict=True))
        told = ", ".join(f"{count} {name}" for count, name in named)
        if len(named) == 2:
            told = f"{by_class[1]} of {sum(by_class)} {site.classes[1]}"
        lines.append(f"{site.site}: {', '.join(parts)} images, {told}")
        lines += [f"  {note}" for note in (*site.notes, *site.skipped[:3])]
        if len(site.skipped) > 3:
            lines.append(f"  and {len(site.skipped) - 3} more unusable: consilium data check")
    if len(summaries) > SHOWN_SITES:
        lines.append(f"and {len(summaries) - SHOWN_SITES} more hospitals")
    return lines


@contextmanager
def preparing(*, style: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function that shows how many images of a site are decoded; None if nothing is shown.

    Args:
        style: As for ``progress``; only a terminal shows it.
    """
    console = Console(file=cast(TextIO, Unheard(sys.stderr)))
    if style != "auto" or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("preparing {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(site: str, done: int, total: int) -> None:
            if site not in tasks:
                tasks[site] = bars.add_task(site, total=total)
            bars.update(tasks[site], completed=done)

        yield report


@contextmanager
def progress(study: Study, sites: tuple[str, ...], *, style: str) -> Iterator[Listener]:
    """Yield a listener that shows events on standard error, or as JSON lines on standard output.

    Args:
        study: The run.
        sites: Names in node order.
        style: ``auto`` (live in a terminal, else lines), ``quiet`` or ``json``.
    """
    stream = cast(TextIO, Unheard(sys.stderr))
    console = Console(file=stream)
    if style == "json":
        output = cast(TextIO, Unheard(sys.stdout))
        yield lambda event: print(json.dumps(dict(event)), file=output, flush=True)
    elif style == "quiet":
        yield lambda event: None
    elif not console.is_terminal:
        yield lambda event: _print_line(event, stream)
    else:
        display = Display(study, sites)
        with Live(display, console=console, refresh_per_second=4, transient=False) as live:

            def listen(event: Mapping[str, Any]) -> None:
                display.take(event)
                if event["kind"] in TOLD_APART:
                    live.console.print(plain_line(event))

            yield listen


@contextmanager
def stoppable(listener: Listener) -> Iterator[Listener]:
    """Yield ``listener`` such that a signal always stops the run, at the latest at its next event.

    Python raises KeyboardInterrupt wherever the program is. If that is a destructor, as Ray's
    object references have, the interpreter only prints it and goes on; so it is remembered and
    raised again. Ray puts handlers of its own under Python's when it starts; so each event puts
    Python's back. A process that was told to ignore a signal, as a script's background job is, goes
    on ignoring it.
    """
    stopped: list[int] = []

    def remember(number: int, frame: object) -> None:
        stopped.append(number)
        raise Stopped(number)

    def catch(numbers: Iterable[int]) -> dict[int, Any]:
        return {number: signal.signal(number, remember) for number in numbers}

    def listen(event: Mapping[str, Any]) -> None:
        if stopped:
            raise Stopped(stopped[0])
        catch(before)
        listener(event)

    before = catch(n for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN)
    try:
        yield listen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_line(event: Mapping[str, Any], stream: TextIO) -> None:
    line = plain_line(event)
    if line is not None:
        print(f"{time.strftime('%H:%M:%S')} {line}", file=stream, flush=True)
