"""What a network remembers outside its state passes from no hospital to the next."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import peculiar
import pytest
import torch
from torch import nn

from clients.resident import attributes_of, fill, resident
from federated.config.schema import Config
from federated.config.study import parse
from federated.engine import run
from federated.engine.inline import InlineGrid

NETWORKS = ["Remembering", "Counting"]
CPU = torch.device("cpu")


def bits(folder: Path) -> dict[str, str]:
    """Return a digest of every checkpoint, vault and prediction of a run."""
    patterns = ("*.safetensors", "predictions*.csv")
    paths = sorted(path for pattern in patterns for path in folder.rglob(pattern))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def config(network: str, **overrides: str) -> Config:
    given = {"methods": "fedbn", "model.name": f"peculiar:{network}", "data.image-size": "32"}
    return parse({**given, **overrides}).by_method["fedbn"]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_order_in_which_a_process_serves_its_sites_changes_no_bit(
    tiny, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    given = tiny("forwards", methods="fedbn", model__name=f"peculiar:{network}")
    run(given)
    forwards = bits(Path(given["folder"]))
    served = InlineGrid.send_and_sum, InlineGrid.deliver

    def send_and_sum(self, request, orders, timeout):  # type: ignore[no-untyped-def]
        results = served[0](self, request, orders[::-1], timeout)
        return replace(results, by_order=results.by_order[::-1])

    def deliver(self, messages, timeout):  # type: ignore[no-untyped-def]
        return served[1](self, messages[::-1], timeout)

    monkeypatch.setattr(InlineGrid, "send_and_sum", send_and_sum)
    monkeypatch.setattr(InlineGrid, "deliver", deliver)
    given = tiny("backwards", methods="fedbn", model__name=f"peculiar:{network}")
    run(given)
    assert len(forwards) > 10
    assert bits(Path(given["folder"])) == forwards


@pytest.mark.ray
@pytest.mark.parametrize("network", NETWORKS)
def test_on_one_worker_or_two_the_bits_are_those_of_this_process(tiny, network: str) -> None:
    settings = {"methods": "fedbn", "model__name": f"peculiar:{network}"}
    found = []
    for engine, workers in (("inline", 0), ("ray", 1), ("ray", 2)):
        folder = f"{engine}-{workers}"
        given = tiny(folder, engine__kind=engine, engine__workers=workers, **settings)
        run(given)
        found.append(bits(Path(given["folder"])))
    assert found[0] == found[1] == found[2] and len(found[0]) > 10


def test_a_plain_network_is_used_again_and_one_that_remembers_is_not() -> None:
    plain = resident(config("plain"), 0, CPU)
    assert resident(config("plain"), 0, CPU) is plain
    for network in NETWORKS:
        first = resident(config(network), 0, CPU)
        first.network(torch.zeros(2, 3, 32, 32))
        second = resident(config(network), 0, CPU)
        assert second.network is not first.network and second.network.calls == 0
        assert second.boundary == first.boundary
        assert all(torch.equal(t, first.initial[name]) for name, t in second.initial.items())


def restless(change: Callable[[nn.Module], None]) -> bool:
    """Return whether a change of a plain network is noticed."""
    model = peculiar.plain()
    before = attributes_of(model)
    assert before is not None and before == attributes_of(model)
    change(model)
    return attributes_of(model) != before


def test_every_kind_of_change_outside_the_state_is_noticed() -> None:
    assert restless(lambda m: setattr(m, "calls", 1))
    assert restless(lambda m: setattr(m.norm, "momentum", 0.2))
    assert restless(lambda m: m.head.weight.requires_grad_(False))
    assert restless(lambda m: m.add_module("more", nn.ReLU()))
    assert restless(lambda m: m.register_buffer("seen", torch.zeros(1), persistent=False))
    assert restless(lambda m: setattr(m, "last", torch.zeros(1)))
    assert restless(lambda m: m.register_forward_hook(print))
    assert restless(lambda m: setattr(m.norm, "running_mean", torch.zeros(peculiar.CHANNELS)))
    assert restless(lambda m: setattr(m.head, "bias", nn.Parameter(torch.zeros(2))))
    assert not restless(lambda m: m.eval() and None)
    assert not restless(lambda m: m.load_state_dict(peculiar.plain().state_dict()) and None)


@pytest.mark.parametrize("name", ["covidnet", "convnet", "peculiar:plain", "peculiar:Tied"])
def test_a_network_is_filled_as_load_state_dict_would(name: str) -> None:
    settings = {"methods": "fedbn", "model.name": name, "data.image-size": "32"}
    made = resident(parse(settings).by_method["fedbn"], 0, CPU)
    state = {n: torch.rand(t.shape).to(t.dtype) for n, t in made.initial.items()}
    assert made.tensors is not None
    fill(made.network, made.tensors, state)
    found = {n: t.clone() for n, t in made.network.state_dict().items()}
    fill(made.network, made.tensors, made.initial)
    made.network.load_state_dict(state)
    assert all(torch.equal(t, found[n]) for n, t in made.network.state_dict().items())
    wrong = {**state, next(iter(state)): torch.zeros(())}
    for tensors in (made.tensors, None):
        with pytest.raises(RuntimeError):
            fill(made.network, tensors, wrong)
        with pytest.raises(RuntimeError):
            fill(made.network, tensors, dict(list(state.items())[1:]))


def test_a_module_that_loads_its_state_in_a_way_of_its_own_does_so() -> None:
    made = resident(config("Doubling"), 0, CPU)
    assert made.tensors is None
    fill(made.network, made.tensors, made.initial)
    assert torch.equal(made.network.head.weight, 2 * made.initial["head.weight"])
