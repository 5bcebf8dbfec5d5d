"""What the server asks hospitals about their data before anything is trained."""

from dataclasses import dataclass

from federated.config.fields import setting


@dataclass(frozen=True)
class Statistics:
    """Federated data statistics: each hospital tells of its images, small counts withheld."""

    ask: str = setting(
        "no",
        "whether hospitals tell of their data; before: before round 1; only: then nothing is "
        "trained",
        choices=("no", "before", "only"),
        changes_bits=False,
    )
    minimum: int = setting(
        11, "a count of images from 1 to one less than this is withheld", low=0, changes_bits=False
    )
    epsilon: float = setting(
        0.0,
        "privacy budget of each hospital's answer, for one image more or less; 0: no noise",
        low=0,
        high=100,
        changes_bits=False,
    )
