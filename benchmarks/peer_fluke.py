"""The peers' workload on fluke: its own FedBN, with the optimizer made anew each round.

python benchmarks/peer_fluke.py sites.npz

Clients run in turn in one process. fluke evaluates a client when the server's weights reach it, so
what a round gave is measured as the next one begins, and the last round's at the very end. Whole
networks travel; a client ignores the batch norm in what it receives.
"""

import sys

import torch
from fluke import DDict, FlukeENV
from fluke.algorithms.fedbn import FedBN, FedBNClient
from fluke.data import FastDataLoader
from fluke.evaluation import Evaluator
from fluke.utils import FederationObserver
from plain_loop import BATCH, LR, ROUNDS, Net, Split, evaluate, load
from torch import Tensor, nn

Sites = dict[str, dict[str, Split]]


class Loss(nn.CrossEntropyLoss):
    """Cross-entropy of the first of the network's two outputs."""

    def forward(self, outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:  # noqa: D102
        return super().forward(outputs[0], labels)


class Client(FedBNClient):
    """A client of FedBN whose Adam forgets, as the workload's does."""

    def fit(self, override_local_epochs: int = 0) -> float:  # noqa: D102
        self.optimizer = None
        return super().fit(override_local_epochs)


class Algorithm(FedBN):
    """FedBN with such clients."""

    def get_client_class(self) -> type[Client]:  # noqa: D102
        return Client


class Held:
    """Deals the sites out: training images in batches, and the other splits as they are."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites.values()

    def assign(self, n_clients: int, batch_size: int):  # noqa: D102
        train = [
            FastDataLoader(*splits["train"], num_labels=2, batch_size=batch_size, shuffle=True)
            for splits in self.sites
        ]
        return (train, list(self.sites)), None


class Area(Evaluator):
    """Evaluates on validation and test images, once a client holds the weights of some round."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def evaluate(self, round, model, eval_data_loader, loss_fn=None, **kwargs):  # noqa: D102
        if not round:
            return {}
        val, test = (evaluate(model, *eval_data_loader[split])[1] for split in ("val", "test"))
        self.told.append(f"{val:.3f} {test:.3f}")
        return {"val": val, "test": test}


class Told(FederationObserver):
    """Prints a line at the end of each round."""

    def __init__(self, area: Area) -> None:
        self.area = area

    def end_round(self, round: int) -> None:  # noqa: D102
        begun = ", ".join(self.area.told) or "not measured"
        print(f"round {round}: it began with val and test AUC {begun}", flush=True)
        self.area.told.clear()


def main(path: str, rounds: int) -> None:
    """Run ``rounds`` rounds with all sites."""
    torch.set_num_threads(1)
    FlukeENV().set_seed(0)
    FlukeENV().set_eval_cfg(pre_fit=True, post_fit=False, locals=False, server=False)
    area, sites = Area(), load(path)
    FlukeENV().set_evaluator(area)
    client = DDict(batch_size=BATCH, local_epochs=1, loss=Loss)
    client.update(optimizer=DDict(name="Adam", lr=LR), scheduler=DDict(step_size=1, gamma=1))
    settings = DDict(client=client, server=DDict(weighted=True), model=Net())
    algorithm = Algorithm(len(sites), Held(sites), settings)
    algorithm.set_callbacks([Told(area)])
    algorithm.run(rounds, eligible_perc=1.0)
    print(f"val and test AUC at the end {', '.join(area.told)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
