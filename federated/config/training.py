"""What a hospital trains, and how: network, steps, contrast, batch norm, last steps alone."""

from dataclasses import dataclass

from federated.config.fields import setting


@dataclass(frozen=True)
class Model:
    """The network."""

    name: str = setting(
        "covidnet", "covidnet, covidnet-original, convnet, or package.module:factory"
    )
    width: float = setting(0.125, "multiplier of all channel counts", low=0.03, high=4)
    norm: str = setting(
        "batch",
        "normalisation layers; weight: none, but the weights of convolutions standardised",
        choices=("batch", "group", "none", "weight"),
    )
    input: str = setting(
        "plain",
        "what is done to an image first; statistics: normalised by mean and deviation of the "
        "hospital's own; amplitude: its Fourier amplitude replaced by a running mean",
        choices=("plain", "statistics", "amplitude"),
    )
    adapters: str = setting(
        "none",
        "1x1 convolutions of each hospital's own: series, behind the shared ones; parallel, beside",
        choices=("none", "series", "parallel"),
    )
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
    augmentation: str = setting(
        "published",
        "what train.augment does; published: random crop and flips; strong: also scale, small "
        "rotations, contrast, gamma and a blank patch",
        choices=("published", "strong"),
    )
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
class BatchNorm:
    """Private batch-norm statistics."""

    recalibrate: bool = setting(
        False, "re-estimate running statistics on training images when new weights arrive"
    )
    recalibration_images: int = setting(512, "training images used for it; 0: all of them", low=0)


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
