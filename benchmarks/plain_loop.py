"""FedBN in plain PyTorch, as one would write it by hand: what any framework adds its cost to.

python benchmarks/plain_loop.py sites.npz [ROUNDS]

Nothing of Consilium is imported. ``benchmarks/peers.py`` writes ``sites.npz``: for each site and
split an array SITE/SPLIT/images, uint8 (N, 32, 32), and SITE/SPLIT/labels.
"""

import sys
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, LR, ROUNDS = 32, 1e-3, 10
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

Split = tuple[Tensor, Tensor]


class Net(nn.Module):
    """The network of federated/learning/models/convnet.py at width 1: 110,466 parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(128, 2)
        self.projection = nn.Linear(128, 128)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 2) and embeddings (B, 128) of images (B, 3, 32, 32)."""
        features = self.features(images)
        return self.classifier(features), self.projection(features)


@cache  # for peer_flower.py, whose clients are opened anew for each message
def load(path: str) -> dict[str, dict[str, Split]]:
    """Return each site's splits as normalised images (N, 3, 32, 32) and labels (N,)."""
    sites: dict[str, dict[str, Split]] = {}
    arrays = np.load(path)
    for key in arrays.files:
        site, split, what = key.split("/")
        if what == "images":
            grey = torch.from_numpy(arrays[key]).unsqueeze(1).expand(-1, 3, -1, -1)
            labels = torch.from_numpy(arrays[f"{site}/{split}/labels"])
            sites.setdefault(site, {})[split] = (grey / 255 - MEAN) / STD, labels
    return sites


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train one epoch with a fresh Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    model.train()
    for batch in torch.randperm(len(labels)).split(BATCH):
        optimizer.zero_grad()
        logits, _ = model(images[batch])
        F.cross_entropy(logits, labels[batch]).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean loss and AUC, the share of pairs in the right order."""
    model.eval()
    logits, _ = model(images)
    score = logits[:, 1] - logits[:, 0]
    pairs = score[labels == 1].unsqueeze(1) - score[labels == 0]
    auc = (pairs > 0).double().mean() + (pairs == 0).double().mean() / 2
    return float(F.cross_entropy(logits, labels)), float(auc)


def main(path: str, rounds: int) -> None:
    """Train all sites for ``rounds`` rounds; batch norm stays where it is, the rest is averaged."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sites = load(path)
    models = {site: Net() for site in sites}
    first = next(iter(models.values())).state_dict()
    for model in models.values():
        model.load_state_dict(first)
    private = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for key in module.state_dict()
    }
    counts = torch.tensor([len(splits["train"][1]) for splits in sites.values()])
    weights = counts / counts.sum()
    for round in range(1, rounds + 1):
        for site, model in models.items():
            train(model, *sites[site]["train"])
        states = [model.state_dict() for model in models.values()]
        shared = {
            name: sum(w * state[name] for w, state in zip(weights, states, strict=True))
            for name in states[0]
            if name not in private
        }
        told = []
        for site, model in models.items():
            model.load_state_dict(shared, strict=False)
            val, test = (evaluate(model, *sites[site][split]) for split in ("val", "test"))
            told.append(f"{site} {val[1]:.3f} {test[1]:.3f}")
        print(f"round {round}: val and test AUC {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
