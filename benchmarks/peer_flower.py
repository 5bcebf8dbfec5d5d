"""The peers' workload on Flower's own simulation: FedBN as its documentation writes it.

python benchmarks/peer_flower.py sites.npz

Two Ray workers of one CPU each. A client's batch norm lives in ``context.state``, where Flower
keeps it between rounds.
"""

import sys

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from plain_loop import ROUNDS, Net, evaluate, load, train
from torch import Tensor, nn

ARRAYS = sys.argv[1]
client, server = ClientApp(), ServerApp()


def private(model: nn.Module) -> set[str]:
    """Return the names of all batch-norm tensors."""
    return {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for key in module.state_dict()
    }


def opened(message: Message, context: Context) -> tuple[Net, dict[str, tuple[Tensor, Tensor]]]:
    """Return the client's network, the server's weights in it, and its images."""
    torch.set_num_threads(1)
    model, sites = Net(), load(ARRAYS)
    if "private" in context.state:
        own = context.state.array_records["private"]
        model.load_state_dict(own.to_torch_state_dict(), strict=False)
    shared = message.content.array_records["arrays"]
    model.load_state_dict(shared.to_torch_state_dict(), strict=False)
    return model, sites[sorted(sites)[int(context.node_config["partition-id"])]]


@client.train()
def fit(message: Message, context: Context) -> Message:
    """Train an epoch, keep batch norm, release the rest."""
    model, splits = opened(message, context)
    train(model, *splits["train"])
    own, state = private(model), model.state_dict()
    context.state["private"] = ArrayRecord({name: state[name] for name in own})
    shared = {name: tensor for name, tensor in state.items() if name not in own}
    counted = MetricRecord({"num-examples": len(splits["train"][1])})
    return Message(
        RecordDict({"arrays": ArrayRecord(shared), "metrics": counted}), reply_to=message
    )


@client.evaluate()
def measure(message: Message, context: Context) -> Message:
    """Evaluate on validation and test images."""
    model, splits = opened(message, context)
    val, test = (evaluate(model, *splits[split])[1] for split in ("val", "test"))
    told = MetricRecord({"num-examples": 1, "val": val, "test": test})
    return Message(RecordDict({"metrics": told}), reply_to=message)


class Told(FedAvg):
    """FedAvg that prints a line at the end of each round."""

    def aggregate_evaluate(self, server_round, replies):  # type: ignore[no-untyped-def]  # noqa: D102
        metrics = super().aggregate_evaluate(server_round, replies)
        if not metrics:
            sys.exit("its clients failed")
        print(f"round {server_round}: mean AUC {metrics}", flush=True)
        return metrics


@server.main()
def rounds(grid: Grid, context: Context) -> None:
    """Run all rounds with all clients."""
    model = Net()
    own = private(model)
    shared = {name: t for name, t in model.state_dict().items() if name not in own}
    strategy = Told(min_available_nodes=4, min_train_nodes=4, min_evaluate_nodes=4)
    strategy.start(grid, ArrayRecord(shared), num_rounds=ROUNDS)


if __name__ == "__main__":
    run_simulation(
        server,
        client,
        num_supernodes=4,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": 2},
        },
    )
