"""The settings of a run as frozen dataclasses, each with its meaning, unit and range.

``federated.config.study`` turns files, overrides and run-configs into them; docs/CONFIG.md is
printed from them by ``consilium config --markdown``.
"""

from dataclasses import dataclass, field

from federated.config.fields import setting
from federated.config.rollout import Calendar, Rollout


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
    cache: str = setting("", "folder of decoded images; empty: the user's cache folder")
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

    sites: int = setting(4, "synthetic hospitals beside the real ones", low=0, high=10000)
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
class Model:
    """The network."""

    name: str = setting(
        "covidnet", "covidnet, covidnet-original, convnet, or package.module:factory"
    )
    width: float = setting(0.125, "multiplier of all channel counts", low=0.03, high=4)
    norm: str = setting("batch", "normalisation layers", choices=("batch", "group", "none"))
    heads: str = setting("", "submodules that are heads, comma-separated; empty: the network's own")


@dataclass(frozen=True)
class Train:
    """Local training at a site."""

    local_epochs: int = setting(1, "passes over the site's images per round", low=1)
    max_steps: int = setting(0, "most steps per round; 0: no limit", low=0)
    batch_size: int = setting(32, "images per step", low=2)
    optimizer: str = setting("adam", "local optimiser", choices=("adam", "sgd"))
    lr: float = setting(1e-3, "learning rate at round 1", low=0)
    momentum: float = setting(0.9, "momentum of sgd, beta1 of adam", low=0, high=0.9999)
    weight_decay: float = setting(1e-7, "L2 penalty inside the optimiser", low=0)
    schedule: str = setting(
        "cosine", "learning rate over the rounds", choices=("cosine", "constant")
    )
    clip_norm: float = setting(2.0, "largest gradient norm; 0: no clipping", low=0)
    optimizer_state: str = setting(
        "reset", "what becomes of the optimiser's state at each round", choices=("reset", "keep")
    )
    proximal_mu: float = setting(0.0, "weight of FedProx's pull; 0: FedAvg", low=0)
    sampling: str = setting(
        "natural",
        "natural: every image once an epoch; balanced: classes equally often",
        choices=("natural", "balanced"),
    )
    class_weights: bool = setting(False, "weigh cross-entropy by inverse class frequency")
    augment: bool = setting(True, "random crop and flips while training")
    precision: str = setting(
        "auto",
        "auto: bf16 where the processor computes it natively, else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    pooled: bool = setting(False, "no federation: train on all hospitals in one process")


@dataclass(frozen=True)
class Contrast:
    """The contrastive objective and the site's memory."""

    objective: str = setting(
        "none", "contrastive loss", choices=("none", "nt-xent", "sup-con", "moon")
    )
    weight: float = setting(1.0, "lambda: weight of the contrastive loss", low=0)
    temperature: float = setting(0.05, "tau", low=1e-3, high=10)
    memory_size: int = setting(0, "embeddings kept in the site's memory; 0: no memory", low=0)
    warmup_rounds: int = setting(1, "rounds of filling before the memory joins the loss", low=0)
    stale: str = setting(
        "drop",
        "entries older than max-age when the server's weights arrive",
        choices=("keep", "drop", "re-embed"),
    )
    max_age: int = setting(1, "rounds that an entry stays fresh", low=0)


@dataclass(frozen=True)
class Sharing:
    """What leaves a hospital."""

    policy: str = setting(
        "all",
        "conv: all but batch norm; silobn: all but its statistics; backbone: conv without heads; "
        "all; nothing",
        choices=("conv", "silobn", "backbone", "all", "nothing"),
    )
    private: tuple[str, ...] = setting(
        (),
        "what is private beyond the policy: norm-affine, norm-statistics, norm, heads, all, or "
        "submodules and tensors of the network",
    )
    shared: tuple[str, ...] = setting(
        (), "submodules and tensors that are shared although the policy keeps their kind private"
    )


@dataclass(frozen=True)
class BatchNorm:
    """Private batch-norm statistics."""

    recalibrate: bool = setting(
        False, "re-estimate running statistics on training images when new weights arrive"
    )
    recalibration_images: int = setting(512, "training images used for it; 0: all of them", low=0)


@dataclass(frozen=True)
class Server:
    """Aggregation."""

    weighting: str = setting(
        "examples", "weight of a site in the mean", choices=("examples", "uniform")
    )
    optimizer: str = setting(
        "none",
        "what is done with the mean update: none (replace), momentum, adam",
        choices=("none", "momentum", "adam"),
    )
    lr: float = setting(1.0, "server learning rate", low=0)
    momentum: float = setting(0.9, "momentum, or beta1 of adam", low=0, high=0.9999)
    min_sites: int = setting(
        0, "fewest good replies that make a round; 0: more than half of the sites", low=0
    )
    norm_limit: float = setting(
        0.0, "L2 norm of a site's update above which it is left out of the round; 0: none", low=0
    )


@dataclass(frozen=True)
class Personalise:
    """Last steps of every hospital on its own images."""

    epochs: int = setting(0, "epochs after the last round; 0: no personalisation", low=0)
    lr: float = setting(1e-4, "learning rate of these epochs, decayed to 0", low=0)
    margin: float = setting(
        1.0, "standard errors by which another model must beat the kept one on validation", low=0
    )


@dataclass(frozen=True)
class Engine:
    """Where the clients run. No setting here but threads and precision changes a bit."""

    kind: str = setting("ray", "inline: this process; ray: workers", choices=("inline", "ray"))
    workers: int = setting(0, "Ray workers; 0: one per core and threads", low=0)
    threads: int = setting(
        1, "torch threads of a client; part of the config because it changes bits", low=1, high=256
    )
    gpus: float = setting(0.0, "GPU share of a worker, such as 0.25", low=0, high=64)
    address: str = setting("", "address of a running Ray cluster; empty: one of our own")
    retries: int = setting(2, "fresh workers that a site gets when its worker dies", low=0)
    timeout: float = setting(3600.0, "seconds that a round waits for a site", low=1)


@dataclass(frozen=True)
class Config:
    """A run: which methods, which seeds, how long, and everything above."""

    name: str = setting("federation", "name of the run, part of its folder's name")
    methods: tuple[str, ...] = setting(("consilium",), "methods to run, in this order")
    seeds: tuple[int, ...] = setting((0,), "seeds; every method runs with each", low=0)
    rounds: int = setting(10, "rounds of training", low=1)
    code: str = setting(
        "", "what the method brings beyond its settings: package.module:name of its Rules"
    )
    folder: str = setting("", "run folder; empty: runs/NAME-DATE-TIME")
    data: Data = field(default_factory=Data)
    partition: Partition = field(default_factory=Partition)
    phantom: Phantom = field(default_factory=Phantom)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    contrast: Contrast = field(default_factory=Contrast)
    sharing: Sharing = field(default_factory=Sharing)
    bn: BatchNorm = field(default_factory=BatchNorm)
    server: Server = field(default_factory=Server)
    personalise: Personalise = field(default_factory=Personalise)
    engine: Engine = field(default_factory=Engine)
    rollout: Rollout = field(default_factory=Rollout)
    calendars: tuple[tuple[str, Calendar], ...] = ()
    """Tables of the scenario: ``hospital.NAME`` or ``group.NAME``, in the order written."""
