"""``consilium contribution`` and ``consilium order``: answers that take several runs."""

import argparse
from pathlib import Path
from typing import Any

from federated.errors import UserError


def add(commands: Any) -> None:
    """Add both commands to the command's subparsers."""
    contribution = verb(
        commands,
        "contribution",
        _contribution,
        "what each hospital gains and what the others gain from it, by runs without it",
    )
    contribution.add_argument("--of", default="", help="hospitals to leave out in turn (all)")
    contribution.add_argument(
        "--shapley",
        type=int,
        default=0,
        metavar="ORDERS",
        help="Shapley values too; up to four hospitals every order, else so many drawn ones",
    )
    order = verb(
        commands, "order", _order, "which order of going live is best: the same weeks, dealt anew"
    )
    order.add_argument("--tries", type=int, default=24, help="orders to try at most (24)")


def verb(commands: Any, name: str, call: Any, meaning: str) -> argparse.ArgumentParser:
    """Return the parser of a question that takes several runs of a configuration."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    parser.add_argument("config", type=Path, help="a .toml file")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides")
    parser.add_argument(
        "--to", type=Path, help=f"folder of the runs and the answer (runs/NAME-{name})"
    )
    parser.set_defaults(call=call, verb=name)
    return parser


def asked(arguments: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """Return the checked configuration and the folder of the runs; the cache is filled."""
    from federated.config.given import parse_overrides, read_config, with_scenario
    from federated.config.study import parse
    from federated.questions.trials import ready

    given = with_scenario(
        {**read_config(arguments.config), **parse_overrides(arguments.settings), "folder": ""}
    )
    name = parse(given).common.name
    ready(given)
    return given, arguments.to or Path("runs") / f"{name}-{arguments.verb}"


def _contribution(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from federated.config.study import parse
    from federated.data import site_names
    from federated.plots.style import save
    from federated.questions.contribution import (
        Coalition,
        leave_one_out,
        orders_to_play,
        shapley,
    )
    from federated.questions.pictures import contribution_figure
    from federated.questions.trials import final_auc, table_text, the_method, trial
    from federated.rollout.scenario import scenario_of

    given, folder = asked(arguments)
    method, common = the_method(given), parse(given).common
    everyone = list(scenario_of(common.rollout, common.calendars, site_names(common)).hospitals)
    of = [name.strip() for name in arguments.of.split(",") if name.strip()] or everyone
    if len(everyone) < 2:
        raise UserError("one hospital by itself contributes to nobody; name more of them.")
    for name in of:
        if name not in everyone:
            raise UserError(f"--of: there is no hospital {name} among {', '.join(everyone)}.")
    known: dict[Coalition, pd.Series] = {}

    def aucs(coalition: Coalition) -> pd.Series:
        if coalition not in known:
            members = ",".join(sorted(coalition))
            told = {"methods": method, "rollout.only": members}
            name = "all" if len(coalition) == len(everyone) else members.replace(",", "+")
            known[coalition] = final_auc(trial(given, folder / name, told), method)
        return known[coalition]

    table = leave_one_out(aucs, everyone, of)
    if arguments.shapley:
        orders = orders_to_play(everyone, arguments.shapley, common.rollout.seed)
        table = table.merge(shapley(aucs, orders), on="site", how="right")
    table.to_csv(folder / "contribution.csv", index=False)
    picture = save(contribution_figure(table), folder / "contribution")[0]
    print(f"Test AUC with {method}; {len(known)} runs; every seed counts, their mean is shown.\n")
    print(table_text(table, [3] * (len(table.columns) - 1)))
    print(f"\ntable:   {folder / 'contribution.csv'}\npicture: {picture}")


def _order(arguments: argparse.Namespace) -> None:
    from federated.config.study import parse
    from federated.data import site_names
    from federated.plots.style import save
    from federated.questions.order import (
        auc_over_time,
        orders_to_try,
        own_order,
        ranking,
        settings_of,
        slots,
    )
    from federated.questions.pictures import order_figure
    from federated.questions.tables import without_tables
    from federated.questions.trials import final_auc, table_text, the_method, trial
    from federated.rollout.scenario import scenario_of

    given, folder = asked(arguments)
    method, common = the_method(given), parse(given).common
    scenario = scenario_of(common.rollout, common.calendars, site_names(common))
    if len(set(slots(scenario))) < 2:
        raise UserError("all hospitals go live in the same week, so there is no order to choose.")
    until = parse(given).by_method[method].rounds / common.rollout.rounds_per_week
    rows = {}
    for number, order in enumerate(orders_to_try(scenario, arguments.tries, common.rollout.seed)):
        told = {"methods": method, **settings_of(scenario, order)}
        run = trial(without_tables(given), folder / f"order-{number:03d}", told)
        rows[order] = {
            "val AUC over time": float(
                auc_over_time(run, method, list(scenario.hospitals), until).mean()
            ),
            "final val AUC": float(final_auc(run, method, "val").mean()),
            "final test AUC": float(final_auc(run, method).mean()),
        }
    table = ranking(rows)
    table.to_csv(folder / "order.csv", index=False)
    own = " > ".join(own_order(scenario))
    picture = save(order_figure(table, own), folder / "order")[0]
    print(
        f"{len(table)} orders with {method}, best first by validation AUC over time (0.5 before a "
        "hospital has a model).\nThe scenario's own order is the first that was run: "
        f"{own}\n"
    )
    print(table_text(table, [4, 3, 3]))
    print(f"\ntable:   {folder / 'order.csv'}\npicture: {picture}")
