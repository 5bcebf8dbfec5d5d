"""A site's model as two files that plain PyTorch reads: weights, and what they are of.

FOLDER/model.safetensors   the whole network, the site's batch norm included
FOLDER/config.json         how to build the network and what to show it
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from federated.data.classes import class_words
from federated.learning.normalising import IMAGENET_MEAN, IMAGENET_STD
from federated.runs.reading import Run
from federated.storage import write_bytes
from federated.unseen.models import site_state

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"


def export(
    run: Run, folder: Path, *, site: str, method: str, seed: int, model: str
) -> tuple[Path, Path]:
    """Write a site's model and its description into a folder, and return the two paths.

    Raises:
        UserError: the run has no such model here.
    """
    state = site_state(run, site, method, seed, model)
    folder.mkdir(parents=True, exist_ok=True)
    weights, config = folder / WEIGHTS_FILE, folder / CONFIG_FILE
    write_bytes(weights, save({name: tensor.contiguous() for name, tensor in state.items()}))
    facts = description(run, site=site, method=method, seed=seed, model=model)
    write_bytes(config, (json.dumps(facts, indent=2) + "\n").encode())
    return weights, config


def description(run: Run, *, site: str, method: str, seed: int, model: str) -> dict[str, Any]:
    """Return what the weights are of, as JSON values."""
    config = run.study.by_method[method]
    return {
        "network": {
            "name": config.model.name,
            "width": config.model.width,
            "image_size": config.data.image_size,
            "norm": config.model.norm,
            "num_classes": config.data.class_count,
            "adapters": config.model.adapters,
            "input": config.model.input,
            "generator_seed": 0,
        },
        "input": {
            "shape": ["batch", 3, config.data.image_size, config.data.image_size],
            "grey": "0 to 1, the same in all three channels, then normalised",
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
        },
        "output": f"logits (batch, {config.data.class_count}), or (logits, embedding)",
        "classes": list(config.data.classes or class_words(run.study.common, site)),
        "of": {"run": run.study.common.name, "site": site, "method": method, "seed": seed,
               "model": model},
        "warning": "research software, not a medical device",
    }  # fmt: skip
