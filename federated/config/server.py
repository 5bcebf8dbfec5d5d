"""How the server makes one federation of the updates."""

from dataclasses import dataclass

from federated.config.fields import setting


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
        0,
        "fewest good replies that make a round; 0: more than half of the sites",
        low=0,
        changes_bits=False,
    )
    norm_limit: float = setting(
        0.0, "L2 norm of a site's update above which it is left out of the round; 0: none", low=0
    )
    norm_bound: float = setting(
        -1.0,
        "multiple of the median L2 norm of a round's updates to which a longer one is shortened; "
        "0: none; below 0: 3, where the server knows single lengths",
        low=-1,
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
        """Whether it is set that the server compares updates, by a rule or a bound."""
        return self.rule != "mean" or self.norm_bound > 0

    @property
    def learning_rate(self) -> float:
        """``lr``, or where it is 0 that of the optimiser.

        Adam, Yogi and Adagrad move a weight by about their learning rate a round, whatever the
        sites found: 1 would be ten times the spread of the first weights. 0.01 is within the range
        that did best in Reddi et al., ICLR 2021, arXiv 2003.00295.
        """
        return self.lr or (0.01 if self.optimizer in ("adam", "yogi", "adagrad") else 1.0)

    def fewest(self, addressed: int) -> int:
        """Return the fewest good replies that will do when so many sites are addressed."""
        return min(self.min_sites or addressed // 2 + 1, addressed)
