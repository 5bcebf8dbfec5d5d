"""When models are evaluated, which is kept, and how methods are compared."""

from dataclasses import dataclass

from federated.config.fields import setting


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
class Keep:
    """Which model is kept of the rounds that were evaluated."""

    rule: str = setting(
        "last",
        "last: that of the last round; best: that of the highest validation AUC; smoothed: the "
        "last of the five evaluations in a row whose mean validation AUC is highest",
        choices=("last", "best", "smoothed"),
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
