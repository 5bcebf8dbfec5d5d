"""Which hospitals a config has: data sets of files, their parts under a partition, and phantoms."""

from collections.abc import Mapping

from federated.config.common import Common
from federated.data import cache, importing, sources
from federated.data.dealing import partition
from federated.data.plans import Hospital, Plan, derived
from federated.data.sources import synthetic
from federated.data.sources.listing import Listing
from federated.errors import UserError

PHANTOM = "phantom-"


def hospitals(config: Common) -> Mapping[str, Hospital]:
    """Return the config's hospitals by name, sorted; opens no image.

    Raises:
        UserError: there is none, or two have the same name.
    """
    found: list[Hospital] = []
    split_up = config.partition.kind != "none"
    for dataset in sources.datasets(config.data, pooled=split_up):
        if not split_up:
            found.append(Hospital(dataset, dataset, "", len(found)))
            continue
        listing = _listing(config, dataset)
        for number, name in enumerate(partition.parts(config, dataset, listing), 1):
            part = name if config.partition.kind == "column" else str(number)
            found.append(Hospital(name, dataset, part, len(found)))
    phantoms = config.phantom.sites
    width = len(str(phantoms))  # padded so that sorting is counting
    found += [Hospital(f"{PHANTOM}{n:0{width}}", "", "", n - 1) for n in range(1, phantoms + 1)]
    if not found:
        raise UserError(
            "there is no hospital; set data.covid-ct, data.sars-cov-2, data.folder or "
            "data.manifest, or phantom.sites above 0"
        )
    by_name = {one.name: one for one in sorted(found, key=lambda one: one.name)}
    if len(by_name) < len(found):
        again = next(one.name for one in found if by_name[one.name] is not one)
        raise UserError(f"two hospitals are called '{again}'; rename one in its source")
    return by_name


def _listing(config: Common, dataset: str) -> Listing:
    by = config.partition
    return sources.find(
        config.data,
        dataset,
        pooled=by.kind != "none",
        hospital=by.column if by.kind == "column" else "",
    )


def plan_of(config: Common, hospital: Hospital) -> Plan:
    """Return the plan for a hospital's entry; opens no image."""
    if not hospital.dataset:
        return Plan(
            cache.cache_folder(config.data.cache),
            synthetic.key(config, hospital.name),
            lambda part, progress: synthetic.build(part, config, hospital.name, hospital.number),
            config.data.strict,
        )
    base = _dataset_plan(config, hospital.dataset)
    if not hospital.part and config.data.shift == 0:
        return base
    return derived(config, hospital, base)


def _dataset_plan(config: Common, dataset: str) -> Plan:
    data, listing = config.data, _listing(config, dataset)
    return Plan(
        cache.cache_folder(data.cache),
        importing.key(listing, data, dataset),
        lambda part, progress: importing.build(
            part, listing, data, name=dataset, progress=progress
        ),
        data.strict,
        drawn=listing.drawn,
        notes=listing.notes,
        skipped=listing.skipped,
    )
