"""``consilium explain``: where a hospital's model looked."""

import argparse
from pathlib import Path
from typing import Any

from federated.errors import UserError

MOST = 12
"""Images in a row that can still be looked at."""


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    parser = commands.add_parser(
        "explain",
        help="where a hospital's model looked: hits, misses, and one image under other batch norms",
        description="Draw Grad-CAM over test images of a hospital. The picture shows images of its "
        "patients, as that of `consilium data sheet` does; a run's own page and figures show none.",
        epilog="example: consilium explain runs/demo --site phantom-1 --method consilium",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--site", required=True, help="whose model and test images")
    parser.add_argument("--method", help="(the last of the run's methods)")
    parser.add_argument("--seed", type=int, help="(the first of the run's seeds)")
    parser.add_argument("--model", choices=("final", "kept"), default="final", help="(final)")
    parser.add_argument("--count", type=int, default=6, help="images in a row (6)")
    parser.add_argument(
        "--to", type=Path, metavar="FILE.png", help="(RUN/answers/explain-SITE.png)"
    )
    parser.set_defaults(call=_explain)


def _explain(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.count <= MOST:
        raise UserError(f"--count {arguments.count}: give a number from 1 to {MOST}.")
    from federated.lazy import without_collector

    with without_collector():
        from federated.plots.explained import contact_sheet
        from federated.plots.style import save
        from federated.runs.reading import load
        from federated.unseen.explained import explained
    run = load(arguments.folder)
    method = arguments.method or run.study.common.methods[-1]
    seed = run.study.common.seeds[0] if arguments.seed is None else arguments.seed
    rows = explained(
        run, arguments.site, method, seed, model=arguments.model, count=arguments.count
    )
    title = f"{arguments.site}: {arguments.model} model of {method}, seed {seed}"
    stem = arguments.to.with_suffix("") if arguments.to else None
    stem = stem or run.files.answers / f"explain-{arguments.site}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    [path] = save(contact_sheet(rows, title), stem)
    for name, shown in rows.items():
        print(f"{name}: {'; '.join(one.title for one in shown)}")
    print(
        f"picture: {path}\nIt shows test images of {arguments.site} themselves; mind that before "
        "you pass it on."
    )
