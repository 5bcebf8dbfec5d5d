"""The settings of a method as frozen dataclasses, each with its meaning, unit and range.

``federated.config.study`` turns files, overrides and run-configs into them; docs/CONFIG.md is
printed from them by ``consilium config --markdown``.
"""

from dataclasses import dataclass, field, fields

from federated.config.common import Common, Data, Egress, Engine, Evaluation, Partition, Phantom
from federated.config.fields import setting

__all__ = [
    "METHOD_SECTIONS",
    "BatchNorm",
    "Common",
    "Config",
    "Contrast",
    "Data",
    "Egress",
    "Engine",
    "Evaluation",
    "Model",
    "Partition",
    "Personalise",
    "Phantom",
    "Privacy",
    "Server",
    "Sharing",
    "Train",
]


@dataclass(frozen=True)
class Model:
    """The network."""

    name: str = setting(
        "covidnet", "covidnet, covidnet-original, convnet, or package.module:factory"
    )
    width: float = setting(0.125, "multiplier of all channel counts", low=0.03, high=4)
    norm: str = setting("batch", "normalisation layers", choices=("batch", "group", "none"))
    heads: str = setting("", "submodules that are heads, comma-separated; empty: the network's own")
    start: str = setting(
        "",
        "safetensors file with first weights, such as a site's model or a server's checkpoint of "
        "another run; empty: random ones",
    )
    start_sha256: str = setting("", "digest of that file; a run writes it down when it begins")


@dataclass(frozen=True)
class Train:
    """Local training at a site."""

    local_epochs: int = setting(1, "passes over the site's images per round", low=1)
    max_steps: int = setting(
        0,
        "steps of a round, exactly as many at every site, epochs begun anew or cut short; 0: those "
        "of local-epochs",
        low=0,
    )
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
        "what is done with the mean update: none (replace), momentum, adam, yogi, adagrad",
        choices=("none", "momentum", "adam", "yogi", "adagrad"),
    )
    lr: float = setting(
        0.0,
        "server learning rate; 0: that of the optimiser, 0.01 for adam, yogi and adagrad, else 1",
        low=0,
    )
    momentum: float = setting(
        0.9, "momentum, or beta1 of adam, yogi and adagrad", low=0, high=0.9999
    )
    min_sites: int = setting(
        0, "fewest good replies that make a round; 0: more than half of the sites", low=0
    )
    norm_limit: float = setting(
        0.0, "L2 norm of a site's update above which it is left out of the round; 0: none", low=0
    )
    norm_bound: float = setting(
        0.0,
        "multiple of the median L2 norm of a round's updates to which a longer one is shortened; "
        "0: none",
        low=0,
    )
    rule: str = setting(
        "mean",
        "what becomes of a round's updates: their mean, or, so that a few bad ones cannot decide, "
        "median, trimmed-mean, krum (one of them) or multi-krum (the mean of those it trusts)",
        choices=("mean", "median", "trimmed-mean", "krum", "multi-krum"),
    )
    faulty: int = setting(
        0,
        "updates of a round that may be bad, for trimmed-mean, krum and multi-krum; 0: a quarter, "
        "at least one",
        low=0,
    )

    @property
    def compares_updates(self) -> bool:
        """Whether the server must see every update by itself, and not only their sum."""
        return self.rule != "mean" or self.norm_bound > 0

    @property
    def learning_rate(self) -> float:
        """``lr``, or where it is 0 that of the optimiser.

        Adam, Yogi and Adagrad move a weight by about their learning rate a round, whatever the
        sites found: 1 would be ten times the spread of the first weights. 0.01 is within the range
        that did best in Reddi et al., ICLR 2021, arXiv 2003.00295.
        """
        return self.lr or (0.01 if self.optimizer in ("adam", "yogi", "adagrad") else 1.0)


@dataclass(frozen=True)
class Personalise:
    """Last steps of every hospital on its own images."""

    epochs: int = setting(0, "epochs after the last round; 0: no personalisation", low=0)
    lr: float = setting(1e-4, "learning rate of these epochs, decayed to 0", low=0)
    share: float = setting(
        0.0,
        "share of the rounds, the last ones, in which every hospital trains on by itself",
        low=0,
        high=0.95,
    )
    restart: float = setting(
        0.5, "share of train.lr at which these rounds begin, decayed to 0", low=0, high=10
    )
    margin: float = setting(
        1.0,
        "standard errors of the paired difference by which another model must beat the hospital's "
        "own, or without one the kept, on validation",
        low=0,
    )


@dataclass(frozen=True)
class Privacy:
    """What hides a hospital, or an image, from those who see what leaves."""

    unit: str = setting(
        "none",
        "who is hidden by noise (differential privacy): none; site: a whole hospital, its update "
        "is clipped and noised; record: every image, its gradient is (DP-SGD)",
        choices=("none", "site", "record"),
    )
    clip: float = setting(
        0.0,
        "C: largest L2 norm of a site's update or of an image's gradient; 0: no clipping",
        low=0,
    )
    noise: float = setting(0.0, "z: standard deviation of the noise over C; 0: no noise", low=0)
    delta: float = setting(1e-5, "delta at which epsilon is told", low=1e-15, high=0.1)
    where: str = setting(
        "site",
        "who adds the noise of unit = site: each site to its update, or the server to the mean",
        choices=("site", "server"),
    )
    randomness: str = setting(
        "auto",
        "what the noise is made of. seeded: the run's seed, so that bits repeat and nobody is "
        "protected; secret: a secret of the site; auto: secret at a node of a hospital's own, "
        "seeded in a simulation",
        choices=("auto", "seeded", "secret"),
    )

    @property
    def is_by_record(self) -> bool:
        """Whether training is DP-SGD; with neither clipping nor noise it is what it always is."""
        return self.unit == "record" and bool(self.clip or self.noise)


@dataclass(frozen=True)
class Config(Common):
    """One method's whole configuration: what all methods share, and what may differ."""

    rounds: int = setting(10, "rounds of training", low=1)
    code: str = setting(
        "", "what the method brings beyond its settings: package.module:name of its Rules"
    )
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    contrast: Contrast = field(default_factory=Contrast)
    sharing: Sharing = field(default_factory=Sharing)
    bn: BatchNorm = field(default_factory=BatchNorm)
    server: Server = field(default_factory=Server)
    personalise: Personalise = field(default_factory=Personalise)
    privacy: Privacy = field(default_factory=Privacy)


METHOD_SECTIONS = tuple(
    item.name for item in fields(Config) if item.name not in {each.name for each in fields(Common)}
)
"""What may differ between methods of one run. Data, engine and rollout are the same for all."""
