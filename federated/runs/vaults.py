"""What a simulation can read of the hospitals' own side, since all of them share one disk."""

from __future__ import annotations

import json
from pathlib import Path

from federated.config.external import reason
from federated.errors import UserError
from federated.lazy import pd


def kept_model(vault: Path) -> Path | None:
    """Return where the model lies that a site keeps by now, None if it has none.

    The newest version in the vault names it. Its predictions lie beside it, ending in ``.csv``.

    Args:
        vault: Folder of one site, method and seed.
    """
    versions = sorted(vault.glob("round-*.json"))
    if not versions:
        return None
    facts = json.loads(versions[-1].read_text(encoding="utf-8"))["facts"]
    if "kept" not in facts:
        return None
    return vault / f"kept-{facts['kept']['round']:06d}.safetensors"


def predictions_file(vault: Path, model: str) -> Path:
    """Return where a site's predictions lie, image by image.

    Those of the kept model are of the end's views once the site has finished, and before that of
    the round it was kept in.

    Args:
        vault: Folder of one site, method and seed.
        model: ``kept`` or ``final``.
    """
    at_the_end = vault / f"predictions-{model}.csv"
    if at_the_end.exists() or model != "kept":
        return at_the_end
    kept = kept_model(vault)
    return at_the_end if kept is None else kept.with_suffix(".csv")


def read_predictions(path: Path) -> pd.DataFrame:
    """Return predictions: split, image, label, and the probability of each class but the first.

    Of two classes the column is ``probability``; of K, ``probability-0`` to ``probability-K-1``.

    Raises:
        FileNotFoundError: there are none.
        UserError: the file is damaged.
    """
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        told = [str(name) for name in table if str(name).startswith("probability")]
        if not told:
            raise KeyError("no probability")
        # Python's float and not pandas', so that what was written is read to the bit.
        numbers = {name: table[name].map(float) for name in told}
        table = table[["split", "image", "label", *told]].assign(**numbers)
        return table.astype({"label": "int64"})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({reason(error).rstrip('.')}); put it back from a copy, or "
            "take it away to go on without this site's predictions."
        ) from error
