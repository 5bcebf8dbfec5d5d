"""The peers' workload on NVFlare's simulator: its FedAvg recipe, and FedBN as its example does it.

python benchmarks/peer_nvflare.py sites.npz

A thread for each client, which with this simulator means a process each: with fewer it would end a
client's process every round, and the batch norm in it. Clients send whole networks and ignore the
batch norm in what they receive, so it leaves the site, as in NVFlare's example. This one is told by
module type, since the example's ``"bn" not in name`` would find none here.

A client evaluates the server's weights when they reach it; a last message carries those of the last
round. One client speaks for all.
"""

import sys
import tempfile
from pathlib import Path

import torch
from plain_loop import ROUNDS, Net, evaluate, load, train
from torch import nn

SITES = 4


def site(path: str) -> None:
    """Be a client until the server says that it is over."""
    import nvflare.client as flare

    torch.set_num_threads(1)
    flare.init()
    sites, model, name = load(path), Net(), flare.get_site_name()
    splits = sites[sorted(sites)[int(name.removeprefix("site-")) - 1]]
    norms = [n for n, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    while flare.is_running():
        message = flare.receive()
        shared = {
            key: torch.as_tensor(value)
            for key, value in message.params.items()
            if key.rpartition(".")[0] not in norms
        }
        model.load_state_dict(shared, strict=False)
        if message.current_round:
            val, test = (evaluate(model, *splits[split])[1] for split in ("val", "test"))
            if name == "site-1":
                print(f"round {message.current_round}: {name} {val:.3f} {test:.3f}", flush=True)
        if message.current_round < ROUNDS:
            train(model, *splits["train"])
        seen = {"NUM_STEPS_CURRENT_ROUND": len(splits["train"][1])}  # the weight of its update
        flare.send(flare.FLModel(params=model.state_dict(), meta=seen))


def main(path: str) -> None:
    """Run all rounds with all clients."""
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
    from nvflare.recipe import SimEnv

    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = FedAvgRecipe(
        name="fedbn",
        model=Net(),
        min_clients=SITES,
        num_rounds=ROUNDS + 1,
        train_script=__file__,
        train_args=f"{Path(path).resolve()} client",
    )
    recipe.add_client_file(str(Path(__file__).with_name("plain_loop.py")))
    with tempfile.TemporaryDirectory() as workspace:
        recipe.execute(SimEnv(num_clients=SITES, num_threads=SITES, workspace_root=workspace))


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else site(sys.argv[1])
