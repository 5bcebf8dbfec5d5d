"""How many threads a client gets where ``engine.threads = 0``: its share of the machine.

A run of many cells and hospitals keeps every core busy with one thread each, which is the most
that cores can do. Where there are more cores than sites to train at a time, the rest would idle:
two hospitals on 64 cores get 32 threads each. The number decides bits, so it depends on the plan of
the run and on the machine, and neither on the engine nor on the number of workers; a run writes
it down and keeps it.
"""

import os
from pathlib import Path

from federated.config.given import read_toml
from federated.config.schema import Config
from federated.config.study import Study, with_threads
from federated.data import site_names
from federated.processor import cores
from federated.runs.folder import RunFolder

PIXELS_A_THREAD = 2**15
"""Least pixels of a batch for a thread: 32 images of 32 pixels a side, or 8 of 64."""


def planned(study: Study, folder: Path | None = None) -> Study:
    """Return the study with a number of threads, where it is left to the plan of the run.

    Args:
        study: As parsed.
        folder: Of the run; if it has begun there, the number is the one it began with.
    """
    if study.common.engine.threads:
        return study
    begun = RunFolder(folder).config if folder is not None else None
    if begun is not None and begun.exists():
        return with_threads(study, int(read_toml(begun).get("engine.threads", 1)))
    if study.common.engine.address:
        return with_threads(study, 1)  # the cluster's machines are not known before it is joined
    return with_threads(study, threads_of(study, cores()))


def threads_of(study: Study, count: int) -> int:
    """Return each client's threads on a machine of so many cores; together never more than these.

    ``OMP_NUM_THREADS``, where it is set, is the most.
    """
    share = count // min(count, sites_at_a_time(study))
    most = os.environ.get("OMP_NUM_THREADS", "")
    bounds = [share, *(worth_it(config) for config in study.by_method.values())]
    return max(1, min([*bounds, *([int(most)] if most.isdecimal() else [])]))


def sites_at_a_time(study: Study) -> int:
    """Return how many sites can train at once: those of all cells, pooled ones as one."""
    sites = len(site_names(study.common))
    return sum(1 if study.by_method[m].train.pooled else sites for m, _ in study.cells())


def worth_it(config: Config) -> int:
    """Return how many threads a batch has work for; with less each, they wait for one another."""
    return max(1, config.train.batch_size * config.data.image_size**2 // PIXELS_A_THREAD)


def threads_text(study: Study) -> str:
    """Return what to say of a planned study before it starts; nothing where all goes without."""
    threads = study.common.engine.threads
    if threads == 1:
        return ""
    return (
        f"threads: {threads} for each of {sites_at_a_time(study)} hospitals to train at a time "
        f"(engine.threads; they change the last bits, so the run keeps {threads})"
    )
