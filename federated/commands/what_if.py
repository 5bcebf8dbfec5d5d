"""``consilium what-if``: the scenario as it is, and once for each alternative."""

import argparse
from typing import Any

from federated.commands.questions import asked, verb
from federated.errors import UserError


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    parser = verb(
        commands,
        "what-if",
        _what_if,
        "what changes for each hospital if some settings were others, by runs with and without",
    )
    parser.add_argument(
        "--if",
        dest="alternatives",
        nargs="+",
        action="append",
        required=True,
        metavar="key=value",
        help="an alternative: settings up to the next option, hospital.NAME.KEY for those of one "
        "hospital; may be given several times",
    )


def _what_if(arguments: argparse.Namespace) -> None:
    from federated.config.study import parse
    from federated.plots.style import save
    from federated.plots.text import printed
    from federated.plots.time_axis import unit_of
    from federated.questions.pictures import what_if_figure
    from federated.questions.trials import the_method, trial
    from federated.questions.what_if import (
        AS_IT_IS,
        compared,
        folder_name,
        outcome,
        table_text,
        targets_of,
    )

    given, folder = asked(arguments)
    method, methods = the_method(given), parse(given).common.methods
    # Alone is for the target of the scenario as it is, which holds for all.
    alone = ["local"] if "local" in methods else []
    base = _checked(given, {})
    told = _alternatives(given, base, [" ".join(words) for words in arguments.alternatives])
    run = trial(base, folder / "as-it-is", {"methods": ",".join([*alone, method])})
    targets = targets_of(run)
    outcomes = {AS_IT_IS: outcome(run, method, targets)}
    for text, other in told.items():
        own = the_method(other)
        there = trial(other, folder / f"if-{folder_name(text)}", {"methods": own})
        outcomes[text] = outcome(there, own, targets)
    table = compared(outcomes)
    table.to_csv(folder / "what-if.csv", index=False)
    pictures = save(what_if_figure(table, unit_of(run)), folder / "what-if", ("png", "pdf"))
    print(
        f"{method}, {len(outcomes)} runs; every seed is compared with itself. Everyone: means over "
        "hospitals, of when over those\nthat reached the target. Target: that of the scenario as "
        "it is, else the best validation AUC that the hospital\nreached alone in it. AUC of the "
        "models kept by validation; hours and weeks are virtual.\n"
    )
    print(printed(table_text(run, table)))
    print(f"\ntable:   {folder / 'what-if.csv'}\npicture: {', '.join(map(str, pictures))}")


def _alternatives(
    given: dict[str, Any], base: dict[str, Any], texts: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the checked configuration of each alternative by what it changes.

    Raises:
        UserError: a setting is wrong, or an alternative is none.
    """
    from federated.config.study import parse
    from federated.questions.what_if import changes_of

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        try:
            found[text] = _checked(given, changes_of(text))
        except UserError as error:
            raise UserError(f'--if "{text}": {error}') from None
        if parse(found[text]) == parse(base):
            raise UserError(f'--if "{text}" changes nothing: so it is in the scenario already.')
    if len(found) < len(texts):
        raise UserError("the same --if stands there twice; leave one out.")
    return found


def _checked(given: dict[str, Any], changes: dict[str, str]) -> dict[str, Any]:
    """Return ``changed``, checked as before a run."""
    from federated.questions.trials import ready, the_method
    from federated.questions.what_if import changed

    found = changed(given, changes)
    the_method(found)
    ready(found)
    return found
