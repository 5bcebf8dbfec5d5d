"""What every method that brings code must hold, whatever it does.

Resumed it has the bits of a run never stopped, its sites release what is on its list and nothing
beside, and what its rule keeps at a site is in no message.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Message
from safetensors.numpy import load_file
from test_laws import numbers
from test_messages import Tap, everything_in, load_with
from test_resume import PowerCutError, cut_after, files, same_files

from federated.config.study import parse
from federated.engine import run
from federated.methods import schema_of
from federated.runs.reading import load

KEEP = ("feddyn", "apfl", "series-adapters", "parallel-adapters", "ms-net", "hbn")
METHODS = {**dict.fromkeys(KEEP, True), "fedap": True, "fedrdn": False, "harmofl": False}
"""Methods that bring code, and whether a site keeps anything of its own under them."""
MIDDLE = 3 + 6 + 4
"""Messages of three sites until round 2 has trained: registration, round 1, and a part of it."""


@pytest.mark.parametrize("method", METHODS)
def test_resumed_to_the_bit_and_nothing_beside_the_list_leaves(
    tiny, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tiny("whole", methods=method), tiny("cut", methods=method)
    tap = Tap()
    monkeypatch.setattr("federated.engine.running.load_app", load_with(tap))
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(MIDDLE)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    expected, found = load(whole["folder"]), load(cut["folder"])
    pd.testing.assert_frame_equal(
        numbers(expected, method), numbers(found, method), check_exact=True
    )
    same_files(expected.folder, found.folder)

    listed = set(schema_of(parse(whole).by_method[method]).by_name)
    releases = [names for names in map(tensors_of, tap.up) if names]
    assert len(releases) == 2 * 3 and all(names == listed for names in releases)
    assert all(tensors_of(message) <= listed for message in tap.down)
    wire = b"".join(map(everything_in, (*tap.up, *tap.down)))
    first = everything_in(next(message for message in tap.down if tensors_of(message)))
    # What no loss of the run trains is everywhere what everybody began with.
    secrets = [(name, row) for name, row in kept_rows(expected.folder) if row not in first]
    assert bool(secrets) == METHODS[method]
    assert not [name for name, row in secrets if row in wire]


def tensors_of(message: Message) -> set[str]:
    """Return the names of the tensors in a message, by ``GROUP/NAME``."""
    records = message.content.array_records.items()
    return {f"{group}/{name}" for group, record in records for name in record}


def kept_rows(folder: Path) -> list[tuple[str, bytes]]:
    """Return the rows of numbers that the vaults hold at the end."""
    rows = []
    for path in folder.glob("sites/**/round-000002.safetensors"):
        for name, tensor in load_file(path).items():
            for row in tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else [tensor]:
                if row.dtype == np.float32 and row.size >= 4 and len(np.unique(row)) >= 4:
                    rows.append((name, row.tobytes()))
    return rows


@pytest.mark.ray
def test_two_workers_have_the_bits_of_this_process(run_tiny) -> None:
    one = run_tiny("one", methods=",".join(METHODS))
    two = run_tiny(
        "two", methods=",".join(METHODS), **{"engine__kind": "ray", "engine__workers": 2}
    )
    for method in METHODS:
        pd.testing.assert_frame_equal(numbers(one, method), numbers(two, method), check_exact=True)
    a, b = (files(run.folder) for run in (one, two))
    tensors = [name for name in a if name.endswith(".safetensors")]
    assert len(tensors) > 3 * len(METHODS)
    assert [name for name in tensors if a[name] != b[name]] == []
