"""``consilium run`` and ``consilium resume``: a new run, or one that goes on or grows."""

import argparse
from pathlib import Path
from typing import Any

from federated.commands.ending import complain, in_folder, status_of
from federated.commands.reporting import conclude, say, write_report
from federated.errors import UserError


def add(commands: Any) -> None:
    """Add both commands."""
    run = commands.add_parser(
        "run",
        help="run a configuration from start to plots",
        epilog="examples: consilium run configs/demo.toml rounds=5 · consilium run "
        "configs/demo.toml --methods local,fedbn --seeds 0,1,2 --dry-run",
    )
    run.add_argument("config", type=Path, nargs="?", help="a .toml file; none: all defaults")
    run.add_argument("settings", nargs="*", metavar="key=value", help="overrides, see `config`")
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would run, how long it would take and how much disk, and run nothing",
    )
    _add_output(run)
    run.set_defaults(call=_execute, read=_given_anew, new=True)

    resume = commands.add_parser(
        "resume",
        help="go on with an interrupted run, to the same bits, or add seeds and methods to one",
        epilog="examples: consilium resume runs/demo engine.workers=4 · consilium resume runs/demo "
        "seeds=0,1,2,3,4 · consilium resume runs/demo configs/demo.toml "
        "methods=local,fedavg,consilium,fedbn",
    )
    resume.add_argument("folder", type=Path, help="the run's folder")
    resume.add_argument(
        "config", type=Path, nargs="?", help="the .toml file that began it, to add methods"
    )
    resume.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="settings that change no bit, and seeds behind those that it has; with the file also "
        "methods behind those that it has",
    )
    _add_output(resume)
    resume.set_defaults(call=_execute, read=_given_before, new=False, dry_run=False)


def _add_output(parser: argparse.ArgumentParser) -> None:
    style = parser.add_mutually_exclusive_group()
    style.add_argument(
        "--quiet", action="store_const", dest="style", const="quiet", help="only the last line"
    )
    style.add_argument(
        "--json", action="store_const", dest="style", const="json", help="events as JSON lines"
    )
    parser.add_argument(
        "--no-report",
        action="store_false",
        dest="report",
        help="no plots and no summary page; `consilium report FOLDER` makes them later",
    )
    parser.set_defaults(style="auto")


def _given_anew(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of ``consilium run``."""
    from federated.config.given import read_given

    return read_given(arguments.config, arguments.settings)


def _given_before(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the run that ``consilium resume`` goes on with.

    With the file that began it: as this says, for a method that is added has what it says of all.
    """
    from federated.config.given import parse_overrides, read_given, read_toml
    from federated.config.keys import find_key
    from federated.runs.folder import RunFolder

    config = RunFolder(arguments.folder).config
    if not config.exists():
        raise UserError(f"{arguments.folder} holds no run (no config.toml).")
    if RunFolder(arguments.folder).hospitals.exists():
        raise UserError(
            f"the hospitals of {arguments.folder} have nodes of their own: go on with the same "
            "flwr run that began it."
        )
    path, words = arguments.config, list(arguments.settings)
    if path is not None and "=" in str(path):
        path, words = None, [str(path), *words]
    if path is not None:
        return {**read_given(path, words), "folder": str(arguments.folder)}
    overrides = parse_overrides(words)
    for key in overrides.keys() - {"seeds"}:
        if key == "methods":
            raise UserError(
                "methods: a method that is added has what the run's configuration file says of all "
                f"of them; name it: consilium resume {arguments.folder} FILE.toml methods=…"
            )
        if key.startswith(("method.", "rollout.")) or find_key(key).changes_bits:
            raise UserError(
                f"{key} would change the numbers; only where a run runs can change, and seeds and "
                "methods be added."
            )
    given = {**read_toml(config), **overrides}
    of_methods = {
        f"method.{name.split('.')[1]}.{key}": value
        for key, value in overrides.items()
        for name in given
        if name.startswith("method.") and name.endswith(f".{key}")
    }
    return {**given, **of_methods, "folder": str(arguments.folder)}


def _execute(arguments: argparse.Namespace) -> None:
    """Run what ``arguments.read`` returns the settings of, a new run or one to go on with."""
    from federated.config.study import parse
    from federated.engine.ray.start import start_ahead
    from federated.lazy import without_collector
    from federated.runs.folder import choose_folder, claimed

    given = arguments.read(arguments)
    study, style = parse(given), str(arguments.style)
    folder = choose_folder(study.common, new=arguments.new)
    if study.common.engine.kind == "ray" and not arguments.dry_run:
        say("starting Ray …", style)
        start_ahead(study.common.engine.address)
    with without_collector():
        from federated.commands.forecast import forecast
        from federated.commands.progress import preparing, progress, site_lines, stoppable
        from federated.data import prepare, site_names
        from federated.engine import carry_out, check
        from federated.engine.threads import planned, threads_text
    study = planned(study, folder)
    check(study)
    sites = site_names(study.common)
    with preparing(style=style) as report:
        summaries = prepare(study.common, report)
    for line in filter(None, [*site_lines(summaries), threads_text(study)]):
        say(line, style)
    if arguments.dry_run:
        print(forecast(study, summaries))
        return
    if not study.common.folder:
        folder = claimed(folder)
    say(f"run folder: {folder}", style)
    try:
        with progress(study, sites, style=style) as shown, stoppable(shown) as listener:
            carry_out({**given, "folder": str(folder)}, listener)
    except KeyboardInterrupt as stop:
        complain(f"stopped; go on with: consilium resume {folder}")
        raise SystemExit(status_of(stop)) from None
    except OSError as error:
        raise in_folder(error, folder) from None
    if arguments.report:
        write_report(folder, style=style)
    conclude(folder, style)
