"""The settings that are the same for all methods of a run: images, machines, and the rollout."""

from dataclasses import dataclass, field

from federated.config.fields import setting
from federated.config.rollout import Calendar, Rollout

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


@dataclass(frozen=True)
class Evaluation:
    """When models are evaluated, and how they are shown images then."""

    views: str = setting(
        "crops",
        "crops: a centre crop at training's scale each round, at the end the mean of the logits of "
        "5 crops x 4 flips; centre: a centre crop always; whole: the whole image resized, as "
        "published; without train.augment it is always whole, as training is then",
        choices=("centre", "crops", "whole"),
    )
    every: int = setting(
        1,
        "rounds from one evaluation to the next: of every k-th round and the last; what is kept is "
        "one of these",
        low=1,
    )
    test: str = setting(
        "kept",
        "when test images are looked at: kept: at the end, by the models that are kept; rounds: by "
        "the weights of each evaluated round, too",
        choices=("kept", "rounds"),
    )

    def is_due(self, round: int, rounds: int) -> bool:
        """Return whether the weights of a round are evaluated, out of so many rounds."""
        return round % self.every == 0 or round == rounds


@dataclass(frozen=True)
class Egress:
    """What a simulation's sites let leave; a real site's own policy file says it instead."""

    digits: int = setting(
        -1, "decimals of every number that a site reports; -1: all of them", low=-1, high=15
    )
    minimum: int = setting(
        0,
        "fewest images of the rarer class behind a rate that leaves a site, and of a split behind "
        "a count; 0: no least number",
        low=0,
        high=1_000_000,
    )
    mantissa_bits: int = setting(
        0,
        "leading bits of the fraction that are kept of each shared weight, float32 has 23; the "
        "rest is rounded away; 0: all",
        low=0,
        high=52,
    )


@dataclass(frozen=True)
class Keep:
    """Which model is kept of the rounds that were evaluated."""

    rule: str = setting(
        "best",
        "last: that of the last round; best: that of the highest validation AUC; smoothed: the "
        "last of the five evaluations in a row whose mean validation AUC is highest",
        choices=("last", "best", "smoothed"),
    )


@dataclass(frozen=True)
class Engine:
    """Where the clients run. Threads and a GPU change bits, so a run keeps them."""

    kind: str = setting(
        "ray",
        "inline: this process; ray: workers",
        choices=("inline", "ray"),
        changes_bits=False,
    )
    workers: int = setting(0, "Ray workers; 0: one per core and threads", low=0, changes_bits=False)
    threads: int = setting(1, "torch threads of a client; they change bits", low=1, high=256)
    gpus: float = setting(
        0.0, "GPU share of a worker, such as 0.25; GPU and CPU differ in bits", low=0, high=64
    )
    address: str = setting(
        "", "address of a running Ray cluster; empty: one of our own", changes_bits=False
    )
    retries: int = setting(
        2, "fresh workers that a site gets when its worker dies", low=0, changes_bits=False
    )
    timeout: float = setting(
        3600.0, "seconds that a round waits for a site", low=1, high=1e8, changes_bits=False
    )


@dataclass(frozen=True)
class Compare:
    """How methods will be compared, fixed before the run so that no result can choose it."""

    reference: str = setting(
        "local", "method that the others are compared with; if it is not run, the first of methods"
    )
    margin: float = setting(
        0.01, "how much lower an AUC may be and still count as not worse", low=0, high=0.5
    )
    small_margin: float = setting(0.03, "the same at a small hospital", low=0, high=0.5)
    small_images: int = setting(
        300, "a hospital with fewer test images than this is a small one", low=0
    )

    def margin_of(self, test_images: int) -> float:
        """Return the margin at a hospital with so many test images."""
        return self.small_margin if test_images < self.small_images else self.margin


@dataclass(frozen=True)
class Common:
    """What all methods of a run share. What differs by method cannot be asked for here."""

    name: str = setting("federation", "name of the run, part of its folder's name")
    methods: tuple[str, ...] = setting(
        ("consilium",), "methods to run, in this order; one of your own is package.module:name"
    )
    seeds: tuple[int, ...] = setting((0,), "seeds; every method runs with each", low=0)
    folder: str = setting("", "run folder; empty: runs/NAME-DATE-TIME", changes_bits=False)
    track: tuple[str, ...] = setting(
        (),
        "trackers told of every number: tensorboard, mlflow, wandb (extras of the same names)",
        changes_bits=False,
    )
    modules: str = setting(
        "",
        "folders, separated as in PYTHONPATH, where package.module:name is looked for besides "
        "Python's own; empty: the config's and the current one",
        changes_bits=False,
    )
    data: Data = field(default_factory=Data)
    partition: Partition = field(default_factory=Partition)
    phantom: Phantom = field(default_factory=Phantom)
    eval: Evaluation = field(default_factory=Evaluation)
    egress: Egress = field(default_factory=Egress)
    keep: Keep = field(default_factory=Keep)
    engine: Engine = field(default_factory=Engine)
    rollout: Rollout = field(default_factory=Rollout)
    compare: Compare = field(default_factory=Compare)
    calendars: tuple[tuple[str, Calendar], ...] = ()
    """Tables of the scenario: ``hospital.NAME`` or ``group.NAME``, in the order written."""
