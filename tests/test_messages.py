"""What is on the wire: exactly the shared tensors, some numbers, and nothing private."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message
from safetensors.numpy import load_file

from clients.app import app as client_app
from federated.engine import run
from federated.exchange.sharing import boundary_of
from federated.learning.models import build_model
from federated.runs.reading import load


class Tap:
    """A ClientApp that keeps what passes in both directions."""

    def __init__(self) -> None:
        self.down: list[Message] = []
        self.up: list[Message] = []

    def __call__(self, message: Message, context: Context) -> Message:
        self.down.append(message)
        reply = client_app(message, context)
        self.up.append(reply)
        return reply


@pytest.fixture
def tapped(monkeypatch: pytest.MonkeyPatch) -> Tap:
    tap = Tap()
    monkeypatch.setattr("federated.engine.running.load_app", load_with(tap))
    return tap


def load_with(client: object) -> Callable[[str], object]:
    from server.app import app as server_app

    return lambda reference: client if reference.startswith("clients") else server_app


def everything_in(message: Message) -> bytes:
    """Return all bytes and texts of a message's content."""
    content = message.content
    arrays = [a.data for record in content.array_records.values() for a in record.values()]
    others = [repr(dict(r)) for r in content.metric_records.values()]
    others += [repr(dict(r)) for r in content.config_records.values()]
    return b"".join(arrays) + " ".join([*content, *others]).encode()


SHARE = {"fedavg": "all", "fedbn": "conv", "silobn": "silobn", "consilium": "backbone"}


@pytest.mark.parametrize("method", SHARE)
def test_a_release_holds_the_shared_tensors_and_no_other(tiny, tapped: Tap, method: str) -> None:
    run(tiny(methods=method))
    model = build_model("convnet", width=0.25, image_size=32, norm="batch", generator_seed=0)
    expected = set(boundary_of(model, SHARE[method], model.heads).shared_names)
    releases = [m for m in tapped.up if "weights" in m.content.array_records]
    assert len(releases) == 2 * 3
    for message in releases:
        assert set(message.content.array_records["weights"]) == expected
    for message in (*tapped.up, *tapped.down):
        assert set(message.content.array_records) <= {"weights"}
        assert set(message.content.array_records.get("weights", {})) <= expected


def test_local_training_sends_no_tensor(tiny, tapped: Tap) -> None:
    run(tiny(methods="local"))
    assert all(not r for m in tapped.up for r in m.content.array_records.values())


def test_no_private_number_is_in_any_message(tiny, tapped: Tap) -> None:
    """Every private tensor of every vault is searched for, row by row, as raw bytes."""
    given = tiny(methods="consilium", train__optimizer_state="keep")
    run(given)
    wire = b"".join(everything_in(m) for m in (*tapped.up, *tapped.down))
    searched = 0
    for path in Path(given["folder"]).glob("sites/**/round-*.safetensors"):
        for name, tensor in load_file(path).items():
            rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else [tensor]
            for row in rows:
                if row.dtype != np.float32 or row.size < 4 or len(np.unique(row)) < 4:
                    continue
                assert row.tobytes() not in wire, (path, name)
                assert row.astype(np.float64).tobytes() not in wire, (path, name)
                searched += 1
    assert searched > 1000
    # The search itself works: a shared tensor is found.
    shared = load_file(Path(given["folder"]) / "consilium/seed-0/round-000002.safetensors")
    weight = next(t for n, t in shared.items() if t.ndim == 4)
    assert weight.tobytes() in wire


PECULIAR = {
    "Tied": "",
    "parametrized": "",
    "functional": "",
    "scaled_after": "",
    "hand_written": "norm.gamma,norm.beta",
    "observed": "",
}


@pytest.mark.parametrize("network", PECULIAR)
def test_no_number_of_a_peculiar_norm_is_in_any_message(tiny, tapped: Tap, network: str) -> None:
    """Whatever its type or names, no statistic and no scale of a norm leaves any of the sites."""
    given = tiny(methods="fedbn", model__name=f"peculiar:{network}")
    run({**given, "sharing.private": PECULIAR[network]} if PECULIAR[network] else given)
    assert len([m for m in tapped.up if "weights" in m.content.array_records]) == 2 * 3
    wire = b"".join(everything_in(m) for m in (*tapped.up, *tapped.down))
    # What is a norm's is known here by construction: all that is not a convolution or the head.
    layers = ("conv.", "second.", "head.")
    for site in ("phantom-1", "phantom-2", "phantom-3"):
        folder = Path(given["folder"]) / "sites" / site / "fedbn" / "seed-0"
        state = load_file(folder / "final.safetensors")
        norm = [t for n, t in state.items() if not n.startswith(layers) and t.size > 1]
        norm += [
            t
            for path in folder.glob("round-*.safetensors")
            for n, t in load_file(path).items()
            if n.startswith("private/") and t.size > 1
        ]
        changed = [tensor for tensor in norm if len(np.unique(tensor)) > 1]
        assert len(changed) > 5
        for tensor in changed:
            assert tensor.tobytes() not in wire, site


def test_no_image_name_is_in_any_message(tiny, tapped: Tap) -> None:
    given = tiny(methods="consilium")
    run(given)
    wire = b"".join(everything_in(m) for m in tapped.up)
    predictions = load(given["folder"]).predictions("phantom-1", "consilium", 0)
    assert len(predictions) > 3
    for image in predictions["image"]:
        assert str(image).encode() not in wire


def test_metrics_on_the_wire_are_of_a_fixed_list(tiny, tapped: Tap) -> None:
    run(tiny(methods="consilium"))
    names = {
        name
        for message in tapped.up
        for record in message.content.metric_records.values()
        for name in record
    }
    classification = {"auc", "accuracy", "balanced_accuracy", "f1", "loss"}
    classification |= {"sensitivity", "specificity", "precision"}
    training = {"loss", "cross_entropy", "contrastive", "gradient_norm", "steps"}
    training |= {"images_seen", "seconds"}
    training |= {"memory_entries", "memory_age", "num_examples"}
    assert names <= classification | training | {"kept_round", "chose_kept"}
    assert classification | training <= names


def test_weights_travel_by_reference_but_cannot_be_changed_by_a_site(tiny) -> None:
    """A site that overwrites what it received changes nothing for the next site."""

    def vandal(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        record = message.content.array_records.get("weights", {})
        for array in record.values():
            value = array.numpy()
            value.setflags(write=True)
            value[...] = 7
        return reply

    honest = load_file_of(run_with(client_app, tiny("honest")))
    vandalised = load_file_of(run_with(vandal, tiny("vandal")))
    assert honest == vandalised


def run_with(client: object, given: dict[str, str]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federated.engine.running.load_app", load_with(client))
        run(given)
    return Path(given["folder"])


def load_file_of(folder: Path) -> dict[str, bytes]:
    path = folder / "fedavg" / "seed-0" / "round-000002.safetensors"
    return {name: array.tobytes() for name, array in load_file(path).items()}
