"""Which hospitals a config has: data sets of files, their parts under a partition, and phantoms."""

from collections.abc import Iterable, Mapping

from federated.config.common import Common
from federated.data import cache, importing, phantoms
from federated.data.dealing import partition
from federated.data.names import key_of
from federated.data.recipes import Origin, Recipe, derived
from federated.data.sources import table
from federated.data.sources.source import Dealing
from federated.errors import UserError

PHANTOM = "phantom-"


def origins(config: Common) -> Mapping[str, Origin]:
    """Return the config's hospitals by name, sorted; opens no image.

    Raises:
        UserError: there is none, two have the same name, or a setting is of files alone.
    """
    _refuse_what_no_phantom_heeds(config)
    known: list[Origin] = []
    dealing = _dealing(config)
    for dataset, list_images in table.datasets(config.data, dealing).items():
        if not dealing.pooled:
            known.append(Origin(dataset, dataset, "", len(known)))
            continue
        for number, name in enumerate(partition.parts(config, dataset, list_images()), 1):
            part = name if config.partition.kind == "column" else str(number)
            known.append(Origin(name, dataset, part, len(known)))
    known += [Origin(name, "", "", number) for number, name in enumerate(phantom_names(config))]
    if not known:
        keys = ", ".join(source.key for source in table.SOURCES)
        raise UserError(f"there is no hospital; set one of {keys}, or phantom.sites above 0")
    _refuse_same_names(known)
    return {origin.name: origin for origin in sorted(known, key=lambda origin: origin.name)}


def phantom_names(config: Common) -> tuple[str, ...]:
    """Return the names of the synthetic hospitals, whose images are of nobody, sorted."""
    count = config.phantom.sites
    width = len(str(count))  # padded so that sorting is counting
    return tuple(f"{PHANTOM}{n:0{width}}" for n in range(1, count + 1))


def _refuse_what_no_phantom_heeds(config: Common) -> None:
    """Refuse what is done to images of files where there are only phantoms."""
    heeded = {
        "partition.kind": config.partition.kind if config.partition.kind != "none" else "",
        "data.shift": config.data.shift,
    }
    given = next((key for key, value in heeded.items() if value), "")
    if given and not table.is_any_given(config.data):
        keys = ", ".join(source.key for source in table.SOURCES)
        raise UserError(
            f"{given} = {heeded[given]} is done to images of files, and there are only phantoms; "
            f"set one of {keys}, or leave it out; phantoms have phantom.sites and phantom.shift"
        )


def _refuse_same_names(known: Iterable[Origin]) -> None:
    first: dict[str, Origin] = {}
    for origin in known:
        other = first.setdefault(key_of(origin.name), origin)
        if other is not origin:
            raise UserError(
                f"two hospitals are called '{other.name}' and '{origin.name}', of "
                f"'{other.dataset or 'phantom'}' and '{origin.dataset or 'phantom'}'; rename one "
                "in its source"
            )


def _dealing(config: Common) -> Dealing:
    by = config.partition
    return Dealing(by.kind != "none", by.column if by.kind == "column" else "")


def recipe_of(config: Common, origin: Origin) -> Recipe:
    """Return the plan for a hospital's entry; opens no image."""
    if not origin.dataset:
        return Recipe(
            cache.cache_folder(config.data.cache),
            phantoms.key(config, origin.name),
            lambda part, progress: phantoms.build(part, config, origin.name, origin.number),
            config.data.strict,
        )
    # The name decides the split, and a hospital's own folder may have another than the hospital.
    base = _dataset_recipe(config, origin.dataset, origin.dataset if origin.part else origin.name)
    if not origin.part and config.data.shift == 0:
        return base
    return derived(config, origin, base)


def _dataset_recipe(config: Common, dataset: str, name: str) -> Recipe:
    data = config.data
    listing, states = importing.located(table.list_images(data, dataset, _dealing(config)), data)
    return Recipe(
        cache.cache_folder(data.cache),
        importing.key(listing, states, data, name),
        lambda part, progress: importing.build(part, listing, data, name=name, progress=progress),
        data.strict,
        drawn=listing.drawn,
        notes=listing.notes,
        skipped=listing.skipped,
        classes=listing.classes,
        root=listing.root,
    )
