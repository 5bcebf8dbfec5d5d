"""``consilium evaluate``, ``predict``, ``export``, ``matrix``: a finished run's models in use."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.runs.reading import Run

POLICIES = ("own", "mean", "nearest", "re-estimated")
"""As ``federated.unseen``, which takes torch to import."""


def add(commands: Any) -> None:
    """Add the commands to the command's subparsers."""
    evaluate = commands.add_parser(
        "evaluate",
        help="a finished run's models on labelled images that it has never seen",
        epilog="example: consilium evaluate runs/demo --data new-hospital --as phantom-1",
    )
    _add_model(evaluate, several=True)
    evaluate.add_argument(
        "--data", type=Path, required=True, help="a folder of one folder per class, or a manifest"
    )
    evaluate.add_argument(
        "--bn-policy",
        choices=POLICIES,
        default="own",
        help="own: the site's model as it is; else the federation's weights with the mean of the "
        "sites' batch norms, that of the nearest site, or the mean re-estimated on these images",
    )
    evaluate.add_argument("--to", type=Path, metavar="FOLDER", help="(RUN/answers/evaluate-SITE)")
    evaluate.set_defaults(call=_evaluate)
    predict = commands.add_parser(
        "predict", help="a finished run's probabilities for images without labels, as CSV"
    )
    _add_model(predict, several=False)
    predict.add_argument("--data", type=Path, required=True, help="a folder of images")
    predict.add_argument("--to", type=Path, required=True, metavar="FILE.csv", help="what to write")
    predict.set_defaults(call=_predict)
    export = commands.add_parser(
        "export", help="a site's model as safetensors and JSON, for plain PyTorch"
    )
    _add_model(export, several=False)
    export.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where to write")
    export.set_defaults(call=_export)
    matrix = commands.add_parser("matrix", help="every site's model at every site, as a picture")
    matrix.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    matrix.add_argument("--method", help="(the last of the run's methods)")
    matrix.add_argument("--model", choices=("kept", "final"), default="kept", help="(kept)")
    matrix.set_defaults(call=_matrix)


def _add_model(parser: argparse.ArgumentParser, *, several: bool) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--as", dest="site", required=True, metavar="SITE", help="whose model")
    if several:
        parser.add_argument("--method", help="(all of the run's methods)")
    else:
        parser.add_argument("--method", help="(the last of the run's methods)")
        parser.add_argument("--seed", type=int, help="(the first of the run's seeds)")
    parser.add_argument("--model", choices=("kept", "final"), default="kept", help="(kept)")


def _load(arguments: argparse.Namespace) -> "Run":
    from federated.lazy import without_collector

    with without_collector():
        from federated.runs.reading import load
    return load(arguments.folder)


def _chosen(run: "Run", arguments: argparse.Namespace) -> tuple[str, int]:
    """Return method and seed as asked, checked; the last method and the first seed if not."""
    from federated.unseen.models import check_names

    method = arguments.method or run.study.common.methods[-1]
    seed = run.study.common.seeds[0] if arguments.seed is None else arguments.seed
    check_names(run, arguments.site, method, seed)
    return method, seed


def _evaluate(arguments: argparse.Namespace) -> None:
    run = _load(arguments)
    from federated.commands.reporting import say
    from federated.report.outside import write_evaluation
    from federated.unseen.evaluating import evaluated
    from federated.unseen.models import check_names

    methods: Sequence[str] = run.study.common.methods
    if arguments.method:
        methods = [arguments.method]
    for method in methods:
        check_names(run, arguments.site, method, run.study.common.seeds[0])
    models = evaluated(
        run,
        arguments.data,
        arguments.site,
        methods=methods,
        model=arguments.model,
        policy=arguments.bn_policy,
        say=lambda line: say(line, "auto"),
    )
    folder = arguments.to or run.files.answers / f"evaluate-{arguments.site}"
    for line in write_evaluation(models, run.study.common.compare, folder):
        print(line)


def _predict(arguments: argparse.Namespace) -> None:
    run = _load(arguments)
    from federated.data.classes import class_words
    from federated.lazy import pd
    from federated.statistics.images import probability_columns
    from federated.unseen.evaluating import probabilities
    from federated.unseen.images import unlabelled
    from federated.unseen.models import site_state

    method, seed = _chosen(run, arguments)
    if not arguments.data.is_dir():
        raise UserError(f"--data {arguments.data}: there is no such folder.")
    state = site_state(run, arguments.site, method, seed, arguments.model)
    split = unlabelled(run.study.common, arguments.data)
    scores = probabilities(run, method, seed, state, split)
    table = pd.DataFrame({"image": split.ids, **probability_columns(scores)})
    table.to_csv(arguments.to, index=False)
    words = run.study.common.data.classes or class_words(run.study.common, arguments.site)[1:]
    what = ", ".join(words)
    print(f"{arguments.to}: {len(table)} probabilities of {what} ({method}, seed {seed})")


def _export(arguments: argparse.Namespace) -> None:
    run = _load(arguments)
    from federated.unseen.export import export

    method, seed = _chosen(run, arguments)
    paths = export(
        run, arguments.to, site=arguments.site, method=method, seed=seed, model=arguments.model
    )
    print("\n".join(str(path) for path in paths))


def _matrix(arguments: argparse.Namespace) -> None:
    run = _load(arguments)
    from federated.plots.matrix import matrix_figure
    from federated.plots.style import save
    from federated.plots.terminal import printed
    from federated.unseen.evaluating import matrix
    from federated.unseen.models import check_names

    method = arguments.method or run.study.common.methods[-1]
    check_names(run, str(run.metrics["site"].iloc[0]), method, run.study.common.seeds[0])
    table = matrix(run, method, arguments.model)
    means = table.groupby(["model_of", "at"])["auc"].mean().unstack("at")
    text = means.map("{:.3f}".format).reset_index().rename(columns={"model_of": "model of"})
    print(f"Test AUC with {method}, mean over seeds: whose model, used at which hospital.\n")
    print(printed(text))
    run.files.answers.mkdir(exist_ok=True)
    path = run.files.answers / f"matrix-{method}.csv"
    table.to_csv(path, index=False)
    pictures = save(matrix_figure(table), path.with_suffix(""), ("png", "pdf"))
    print(f"\ntable:   {path}\npicture: {', '.join(map(str, pictures))}")
