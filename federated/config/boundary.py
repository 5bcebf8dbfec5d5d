"""What leaves a hospital, and what hides it from those who see it."""

from dataclasses import dataclass

from federated.config.fields import setting


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

    secure_aggregation: bool = setting(
        False, "mask the sites' updates such that the server reads their sum and none of them"
    )

    @property
    def is_by_record(self) -> bool:
        """Whether training is DP-SGD; with neither clipping nor noise it is what it always is."""
        return self.unit == "record" and bool(self.clip or self.noise)
