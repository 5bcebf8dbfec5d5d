"""Randomness is explicit: every generator is a function of (run seed, site, round, purpose)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_for(run_seed: int, site: str, round: int, purpose: str) -> int:
    """Return a 63-bit seed that depends on nothing but its four arguments.

    SHA-256 rather than ``hash``: Python salts ``hash`` per process, so two workers would differ.
    """
    text = f"{run_seed}\x1f{site}\x1f{round}\x1f{purpose}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def torch_generator(run_seed: int, site: str, round: int, purpose: str) -> torch.Generator:
    """Return a CPU torch generator for one purpose of one site in one round."""
    return torch.Generator().manual_seed(seed_for(run_seed, site, round, purpose))


def numpy_generator(run_seed: int, site: str, round: int, purpose: str) -> np.random.Generator:
    """Return a NumPy generator for one purpose of one site in one round."""
    return np.random.default_rng(seed_for(run_seed, site, round, purpose))


@contextmanager
def global_torch_seed(seed: int) -> Iterator[None]:
    """Seed torch's global generator for layers that know no other (dropout), then restore it."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
