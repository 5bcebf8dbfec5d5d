"""A hospital's differential privacy: the noise on what leaves, and the account of what has left.

What was spent is kept in the site's vault and never forgotten: a round that is declared void, or
repeated with other weights, has been seen all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from clients.private_folder import VaultError
from clients.site import Site
from federated.dp.accounting import Spent, epsilon_of
from federated.dp.records import Records
from federated.dp.secrets import digest_of_all, kept_secret
from federated.dp.stream import Stream, derived, secret_of_seed
from federated.dp.updates import private_update
from federated.exchange.sharing import Release
from federated.exchange.wire import Order, Report
from federated.storage import write_bytes

ACCOUNT = "spent.json"
"""In the vault: what each release has spent."""


def is_seeded(site: Site) -> bool:
    """Return whether the noise follows from the run's seed, as in a simulation it may."""
    chosen = site.config.privacy.randomness
    return chosen == "seeded" or (chosen == "auto" and not site.vault.is_alone)


def noise_key(site: Site, order: Order, purpose: str, *bound: bytes) -> bytes:
    """Return the key of a site's noise for one purpose of a round, bound to what it is added to."""
    folder = site.vault.folder
    secret = secret_of_seed(site.seed) if is_seeded(site) else kept_secret(folder)
    return derived(secret, site.name, order.method, order.round, purpose, *bound)


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return SHA-256 over some tensors."""
    return digest_of_all({name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})


def input_of(site: Site) -> bytes:
    """Return a digest of what a round begins with; none is needed where nothing is accounted."""
    is_free = site.config.privacy.unit == "none"
    return b"" if is_free else digest_of_tensors(site.model.state_dict())


def records_of(site: Site, order: Order) -> Records | None:
    """Return DP-SGD for a round that begins with the resident model as it is; None without it."""
    privacy = site.config.privacy
    if not privacy.is_by_record:
        return None
    key = noise_key(site, order, "records", digest_of_tensors(site.model.state_dict()))
    return Records(site.images("train"), site.config.train, privacy.clip, privacy.noise, key)


def protected(site: Site, order: Order, sent: Mapping[str, Tensor], released: Release) -> Release:
    """Return what leaves of a round: under ``privacy.unit = site`` clipped, and noised.

    Raises:
        NotFiniteUpdateError: the update has no norm.
    """
    privacy = site.config.privacy
    if privacy.unit != "site" or not site.boundary.shared:
        return released
    bound = digest_of_tensors(sent), digest_of_tensors(released.tensors)
    deviation = privacy.noise * privacy.clip if privacy.where == "site" else 0.0
    tensors = private_update(
        released.tensors,
        sent,
        clip=privacy.clip,
        deviation=deviation,
        stream=Stream(noise_key(site, order, "update", *bound)),
    )
    return Release(tensors)


def accounted(site: Site, order: Order, report: Report, *, input: bytes, leaves: bool) -> Report:
    """Enter a round into the site's account and return its report with what is spent so far.

    Args:
        site: Whose.
        order: Names the round.
        report: Of the round, with its number of steps.
        input: Digest of what the round began with; the same input gives the same release.
        leaves: Whether an update leaves; images are read by DP-SGD in any case.
    """
    privacy = site.config.privacy
    if privacy.unit == "none" or not privacy.noise or not site.boundary.shared:
        return report
    entry = {"round": order.round, "input": input.hex(), "noise": privacy.noise}
    if privacy.unit == "record":
        rate = min(1.0, site.config.train.batch_size / max(1, len(site.data.train)))
        entry |= {"rate": rate, "steps": int(report.metrics["steps"])}
    else:
        entry |= {"rate": 1.0, "steps": int(leaves)}
    entries = [e for e in entered(site, entry) if e["round"] <= order.round]
    spent = [Spent(e["noise"], e["rate"], int(e["steps"])) for e in entries if e["steps"]]
    told = {"epsilon": epsilon_of(spent, privacy.delta), "delta": privacy.delta}
    return replace(report, metrics={**report.metrics, **told})


def entered(site: Site, entry: dict[str, object]) -> list[dict[str, float]]:
    """Return the site's account with ``entry`` in it, written before anything leaves."""
    path = site.vault.folder / ACCOUNT
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except ValueError as error:
        raise VaultError(f"{path} is damaged: what has been spent is not known") from error
    if entry not in entries:
        entries.append(entry)
        write_bytes(path, json.dumps(entries, indent=1).encode(), sync=site.vault.is_alone)
    return list(entries)
