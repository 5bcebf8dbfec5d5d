"""Which server rule withstands which bad hospital: mean AUC at the honest ones.

python benchmarks/attacks.py
python benchmarks/attacks.py --federations 1/5 --attacks none,noise

Runs configs/studies/attacks.toml for one of five and two of eight synthetic hospitals and every
kind of garbage, goes on with what is there, writes docs/results/attacks.csv and prints the table:
the mean over the honest hospitals of the last round's AUC, and a 95 % interval (t) over the seeds.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from scipy.stats import t

from federated.config.given import read_config
from federated.engine import run
from federated.plots.text import markdown
from federated.runs.reading import load

ROOT = Path(__file__).parent.parent
STUDY, RESULTS = ROOT / "configs/studies/attacks.toml", ROOT / "docs/results/attacks.csv"
ATTACKS = ("none", "noise", "sign-flip", "scaled", "label-flip")


def cells(federation: str, attack: str, folder: Path) -> Iterator[dict[str, object]]:
    """Run one federation under one attack; yield the honest hospitals' mean AUC of every cell."""
    bad, hospitals = (int(number) for number in federation.split("/"))
    liars = [f"phantom-{k}" for k in range(hospitals - bad + 1, hospitals + 1)]
    given = {**read_config(STUDY), "phantom.sites": hospitals, "folder": str(folder)}
    for site in liars if attack != "none" else ():
        table = f"rollout.hospital.{site}"
        given |= {f"{table}.garbage": "0-10000", f"{table}.garbage-kind": attack}
    if not (folder / "done").exists():
        run(given)
        (folder / "done").touch()
    metrics = load(folder).metrics
    last = metrics["round"] == metrics["round"].max()
    rows = metrics[last & (metrics["metric"] == "auc") & (metrics["model"] == "current")]
    honest = rows[~rows["site"].isin(liars)]
    for (method, seed, split), group in honest.groupby(["method", "seed", "split"], sort=False):
        where = {"federation": federation, "attack": attack, "rule": method}
        yield {**where, "seed": seed, "split": split, "auc": round(group["value"].mean(), 5)}


def with_interval(values: pd.Series) -> str:
    """Return the mean over seeds and half the width of its 95 % interval."""
    half = t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return f"{values.mean():.3f} ± {half:.3f}"


def table_of(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return a row for every federation and rule, a column for every attack."""
    part = frame[frame["split"] == split]
    keys = ["federation", "rule", "attack"]
    texts = part.groupby(keys, sort=False)["auc"].agg(with_interval).unstack("attack", "–")
    return texts[[attack for attack in ATTACKS if attack in texts]].reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--federations", default="1/5,2/8", help="bad of all, comma-separated")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--folder", type=Path, default=Path("runs/attacks"))
    parser.add_argument("--to", type=Path, default=RESULTS, help="the CSV file to write")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for federation in arguments.federations.split(","):
        for attack in arguments.attacks.split(","):
            folder = arguments.folder / f"{federation.replace('/', '-of-')}-{attack}"
            rows += cells(federation, attack, folder)
            arguments.to.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_csv(arguments.to, index=False)
    frame = pd.DataFrame(rows)
    for split in ("val", "test"):
        print(f"\nMean {split} AUC of the honest hospitals, last round\n")
        print("\n".join(markdown(table_of(frame, split))))


if __name__ == "__main__":
    main()
