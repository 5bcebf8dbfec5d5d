"""Randomness is explicit: every generator is a function of (run seed, site, round, purpose)."""

import hashlib
import random
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
def global_python_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of Python and NumPy, then restore them."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # others use it
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def global_torch_seed(seed: int) -> Iterator[None]:
    """Seed the global generators for layers that know no other (dropout), then restore them."""
    devices = list(range(torch.cuda.device_count()))
    with global_python_seed(seed), torch.random.fork_rng(devices=devices):
        # Not torch.manual_seed: even without a GPU it queues the seed for each kind of them, with
        # a traceback to blame, which costs half a millisecond.
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield
