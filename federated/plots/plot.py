"""What a figure of a run is declared as: its file's name, its caption, how it is drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from federated.runs.reading import Run

Drawing = tuple[str, Callable[..., Figure]]
"""A figure's file name without ending, and what draws it, ``width`` inches wide if so asked."""


@dataclass(frozen=True)
class Plot:
    """A figure that a run may have.

    Attributes:
        file: Its name in ``plots/``, without ending.
        caption: What a reader sees in it, as a sentence.
        draw: Draws it of a run, or raises ``NothingToDrawError``.
        is_by_method: Whether there is one for each method, ``FILE-METHOD``; then ``draw`` takes
            the method and the seed, too.
        is_of_rollout: Whether only a rollout has it.
        is_of_images: Whether it shows single images, or what is made of them; then ``draw`` takes
            ``patients``: whether those of patients are shown, and not of phantoms alone.
        has_photos: Whether its greys are those of images, which no page may invert.

    Raises:
        ValueError: the file has no name or the figure no caption.
    """

    file: str
    caption: str
    draw: Callable[..., Figure]
    is_by_method: bool = False
    is_of_rollout: bool = False
    is_of_images: bool = False
    has_photos: bool = False

    def __post_init__(self) -> None:
        if not self.file.strip() or not self.caption.strip():
            raise ValueError(f"the plot {self.file!r} needs the name of a file and a caption")

    def is_in(self, stem: str) -> bool:
        """Return whether a file of this name, without ending, holds this figure."""
        return stem.startswith(f"{self.file}-") if self.is_by_method else stem == self.file

    def drawings(self, run: Run, *, patients: bool = False) -> Iterator[Drawing]:
        """Yield what draws the figure of a run, also if the run lacks the numbers."""
        if self.is_of_rollout and run.timeline.empty:
            return
        draw = partial(self.draw, patients=patients) if self.is_of_images else self.draw
        if not self.is_by_method:
            yield self.file, partial(draw, run)
            return
        common = run.study.common
        for method in common.methods:
            yield f"{self.file}-{method}", partial(draw, run, method, common.seeds[0])
