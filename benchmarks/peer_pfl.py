"""The peers' workload on pfl-research: FedAvg, for it has no FedBN.

python benchmarks/peer_pfl.py sites.npz

pfl keeps one network and hands it from site to site. Batch-norm weights and biases are averaged
with the rest; running statistics go on from one site to the next and are nobody's own. The work of
a round is the same as with FedBN, the accuracy is not.
"""

import os
import sys

import torch
from torch import Tensor
from torch.nn import functional as F

os.environ.setdefault("PFL_PYTORCH_DEVICE", "cpu")  # read when pfl's PyTorch parts are imported

from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from plain_loop import BATCH, LR, ROUNDS, Net, Split, evaluate, load

Sites = dict[str, dict[str, Split]]


class Learner(Net):
    """The network with the two methods that pfl asks for."""

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        self.train()
        return F.cross_entropy(self(images)[0], labels)

    def metrics(self, images: Tensor, labels: Tensor) -> dict[str, object]:
        """Return nothing: pfl would evaluate training images, which the workload does not."""
        return {}


class Told(TrainingProcessCallback):
    """Evaluates the averaged network on every site and prints a line at the end of each round."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):  # noqa: D102
        told = []
        for site, splits in self.sites.items():
            val, test = (evaluate(model.pytorch_model, *splits[s])[1] for s in ("val", "test"))
            told.append(f"{site} {val:.3f} {test:.3f}")
        print(f"round {central_iteration + 1}: val and test AUC {', '.join(told)}", flush=True)
        return False, Metrics()


def federation(sites: Sites) -> FederatedDataset:
    """Return all sites in turn, each with its training images in a new order every round."""

    def shuffled(site: str) -> PyTorchTensorDataset:
        images, labels = sites[site]["train"]
        order = torch.randperm(len(labels))
        return PyTorchTensorDataset((images[order], labels[order]), user_id=site)

    return FederatedDataset(shuffled, MinimizeReuseUserSampler(list(sites)))


def main(path: str, rounds: int) -> None:
    """Run ``rounds`` rounds with all sites."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sites, net = load(path), Learner()
    server = torch.optim.SGD(net.parameters(), lr=1.0)  # a step of 1 takes the mean as it is
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds,
            train_cohort_size=len(sites),
            val_cohort_size=None,
        ),
        SimulatedBackend(federation(sites), federation(sites), [WeightByDatapoints()]),
        PyTorchModel(net, local_optimizer_create=torch.optim.Adam, central_optimizer=server),
        NNTrainHyperParams(local_num_epochs=1, local_learning_rate=LR, local_batch_size=BATCH),
        NNEvalHyperParams(local_batch_size=None),
        callbacks=[Told(sites)],
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
