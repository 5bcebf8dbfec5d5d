"""First weights from a file: every site and method begins with them, and with no other."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from federated.config.identity import rooted
from federated.config.images import Data
from federated.config.schema import Config
from federated.config.study import parse
from federated.config.training import Model
from federated.engine import run
from federated.errors import UserError
from federated.learning.network import network_of

SMALL = Config(model=Model(name="convnet", width=0.25), data=Data(image_size=32))


def network(path: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the first weights of a small network that starts from a file."""
    config = Config(model=Model(name="convnet", width=0.25, start=str(path)), data=SMALL.data)
    return dict(network_of(config, seed).state_dict())


def test_a_run_begins_with_what_another_ended_with(run_tiny) -> None:
    """One round with a learning rate of 0 changes nothing but statistics, whoever trains."""
    first = run_tiny("first", methods="fedavg")
    start = first.folder / "fedavg/seed-0/round-000002.safetensors"
    then = run_tiny("then", methods="fedavg,fedbn", rounds=1, train__lr=0, model__start=start)
    before = load_file(start)
    for method in ("fedavg", "fedbn"):
        after = load_file(then.folder / method / "seed-0/round-000001.safetensors")
        trained = [n for n in after if n.endswith(("weight", "bias"))]
        assert len(trained) > 5
        for name in trained:
            assert torch.equal(after[name], before[name]), name
    assert then.study.by_method["fedbn"].model.start_sha256


def test_what_the_file_lacks_keeps_its_first_weights(tmp_path: Path) -> None:
    whole = {name: t + 1 for name, t in network_of(SMALL, 3).state_dict().items()}
    part = {name: t for name, t in whole.items() if name.startswith("features")}
    for name, tensors in {
        "plain": part,
        "sent": {f"weights/{k}": t for k, t in part.items()},
    }.items():
        save_file(tensors, tmp_path / name)
        found, fresh = network(tmp_path / name, seed=4), network_of(SMALL, 4).state_dict()
        assert 0 < len(part) < len(found)
        for key, tensor in found.items():
            assert torch.equal(tensor, part.get(key, fresh[key])), key


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"no tensors at all", "is no safetensors file"),
        ({}, "holds no tensor"),
        (
            {"classifier.wait": torch.zeros(2)},
            "holds 'classifier.wait', which this network has not",
        ),
        (
            {"classifier.bias": torch.zeros(3)},
            r"holds classifier.bias of shape \(3,\) and not \(2,\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_gets_a_sentence(
    tmp_path: Path, tensors: bytes | dict[str, torch.Tensor] | None, sentence: str
) -> None:
    path = tmp_path / "start.safetensors"
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    elif tensors is not None:
        save_file(tensors, path)
    with pytest.raises(UserError, match=sentence):
        network(path)


def test_a_run_goes_on_with_no_other_file(tiny, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    save_file(dict(network_of(SMALL, 5).state_dict()), path)
    given = tiny(rounds=1, model__start=path)
    run(given)
    written = parse({**given, "model.start-sha256": rooted_digest(given)})
    assert rooted(written) == rooted(parse(given))
    save_file(dict(network_of(SMALL, 6).state_dict()), path)
    with pytest.raises(UserError, match="is not the file that the run began with"):
        network_of(rooted(written).by_method["fedavg"], 0)
    with pytest.raises(UserError, match="start-sha256 was"):
        run(given)


def rooted_digest(given: dict[str, str]) -> str:
    return str(rooted(parse(given)).by_method["fedavg"].model.start_sha256)


def test_a_start_that_is_not_there_is_told_before_anything_runs(tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.start = .* cannot be read: No such file"):
        run(tiny(model__start=tmp_path / "none.safetensors"))
    assert not list(tmp_path.glob("run/*"))
