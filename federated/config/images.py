"""Where images come from: data, how they are dealt to hospitals, and synthetic ones."""

from dataclasses import dataclass

from federated.config.fields import setting

SOURCES = ("covid_ct", "sars_cov_2", "manifest", "folder")
"""Fields of ``Data`` that name images; once one is given there are no synthetic hospitals beside
it, unless they are asked for."""


@dataclass(frozen=True)
class Data:
    """Where the hospitals' images come from and how they are split and stored."""

    covid_ct: str = setting("", "folder of COVID-CT as published; one site, its official split")
    sars_cov_2: str = setting("", "folder of the SARS-CoV-2 CT-scan dataset; one site")
    manifest: str = setting("", "CSV or parquet manifest with a site column; one site per value")
    columns: str = setting(
        "", "the manifest's own column names, such as path=file,label=dx,site=hospital"
    )
    labels: str = setting("", "names of classes beyond the usual, such as NCP=1,CP=0,Normal=0")
    classes: tuple[str, ...] = setting(
        (),
        "names of three or more classes, such as normal,pneumonia,covid, each called so in the "
        "data or by data.labels; empty: the two of which the second is to be found",
    )
    folder: str = setting("", "folder of one folder per class, or of such folders, one per site")
    strict: bool = setting(
        True, "stop at the first unusable file or row; false: go on without it and list it"
    )
    cache: str = setting(
        "", "folder of decoded images; empty: the user's cache folder", changes_bits=False
    )
    image_size: int = setting(64, "side of the network's input in pixels", low=16, high=1024)
    resize: int = setting(
        0, "side of the cached image in pixels; 0: image-size x 256/224 as published", low=0
    )
    val_fraction: float = setting(
        0.15, "share of images for validation where there is no official split", low=0, high=0.5
    )
    test_fraction: float = setting(
        0.25, "share of images for testing where there is no official split", low=0, high=0.6
    )
    duplicate_correlation: float = setting(
        0.95,
        "images that correlate above this at 32x32 are one group for the split; 1: none",
        low=0,
        high=1,
    )
    split_seed: int = setting(
        0, "seed of splits, partition and shift, the same for every method and seed", low=0
    )
    shift: float = setting(
        0.0,
        "how far simulated scanners pull real sites apart: 0 not at all, 1 clearly",
        low=0,
        high=3,
    )
    slices: int = setting(8, "slices taken of a volume, evenly over its lungs", low=1, high=512)
    window_level: float = setting(-600.0, "middle of the window on Hounsfield data, HU")
    window_width: float = setting(1500.0, "width of the window on Hounsfield data, HU", low=1)
    trim: bool = setting(False, "cut uniform borders off, as of figures cut out of papers")

    @property
    def class_count(self) -> int:
        """K, the number of classes."""
        return len(self.classes) or 2


@dataclass(frozen=True)
class Partition:
    """Many hospitals out of each real data set."""

    kind: str = setting(
        "none",
        "how images are dealt to hospitals",
        choices=("none", "iid", "dirichlet", "quantity", "patient", "column"),
    )
    sites: int = setting(4, "hospitals per data set, except for column", low=1, high=10000)
    alpha: float = setting(
        0.5, "Dirichlet concentration of dirichlet and quantity; small: uneven", low=0.001
    )
    column: str = setting("", "column of the manifest whose values are hospitals, for column")


@dataclass(frozen=True)
class Phantom:
    """Synthetic hospitals, so that everything runs without a patient's image."""

    sites: int = setting(
        4,
        "synthetic hospitals; none, once a data.* names images, unless it is set as well",
        low=0,
        high=10000,
    )
    patients: int = setting(120, "patients per synthetic hospital", low=3)
    slices: int = setting(2, "slices per patient", low=1, high=64)
    shift: float = setting(
        1.0, "how far the scanners differ: 0 not at all, 1 clearly", low=0, high=3
    )
    difficulty: float = setting(
        0.5, "0: lesions plain to see, 1: barely visible among confounders", low=0, high=1
    )
    seed: int = setting(0, "seed of the synthetic patients", low=0)
