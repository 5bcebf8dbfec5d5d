"""``consilium audit``: what attacks get out of what left a hospital in a finished run."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    parser = commands.add_parser(
        "audit",
        help="attack a finished run: which images, which patients, how many ill can be told",
        description="Attack what left a hospital, each attack beside a control that is known to "
        "work, and write one page for readers who are no specialists. No verdict says that "
        "anything is safe. Images of patients are never on the page.",
        epilog="example: consilium audit runs/demo --method consilium --site phantom-1 --quick",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--site", help="whose updates and images (the first of the run's)")
    parser.add_argument("--method", help="(the last of the run's methods that shares weights)")
    parser.add_argument("--seed", type=int, help="(the first of the run's seeds)")
    parser.add_argument("--quick", action="store_true", help="fewer images, models and steps")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="(RUN/answers/audit-METHOD-SITE)")
    parser.set_defaults(call=_audit)


def _audit(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.audit.auditing import audited
        from federated.audit.page import counts, of_method, write_audit
        from federated.audit.sizes import FULL, QUICK
        from federated.audit.subject import subject_of
        from federated.runs.reading import load
    run = load(arguments.folder)
    common = run.study.common
    sharing = [m for m in common.methods if run.study.by_method[m].sharing.policy != "nothing"]
    subject = subject_of(
        run,
        method=arguments.method or [*common.methods, *sharing][-1],
        seed=common.seeds[0] if arguments.seed is None else arguments.seed,
        site=arguments.site or run.sites[0],
    )
    found = audited(
        subject,
        QUICK if arguments.quick else FULL,
        report=lambda what: print(f"attacking: {what} …", file=sys.stderr),
    )
    folder = arguments.to or run.files.answers / f"audit-{subject.method}-{subject.site}"
    page, table = write_audit(found, folder)
    print("\n".join(case.sentence for case in of_method(found)))
    print(f"\n{counts(found)}\npage:  {page}\ntable: {table}")
