"""How far it is from the command to ``loss.backward()``, in stack frames of our own.

    python benchmarks/frames.py

Runs a tiny federation inline and on one Ray worker; the network notes the call stack of its first
training step. On Ray the driver's frames, down to where it waits, and the worker's are added up.
Frames of Flower, Ray and torch are not counted.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path

from torch import Tensor, nn

from federated.commands.main import main
from federated.learning.models import build_model

ROOT = Path(__file__).parent.parent
OURS = ("federated", "clients", "server")
NOTE = "CONSILIUM_FRAMES"
"""Names the file to which the network writes; Ray's workers inherit it."""

TINY = ["rounds=1", "methods=fedbn", "phantom.sites=2", "phantom.patients=12", "engine.workers=1"]
TINY += ["data.image-size=32", "train.batch-size=8", "train.precision=fp32"]


def ours() -> list[str]:
    """Return the frames of our packages on the stack, outermost first."""
    frames = []
    for frame in traceback.extract_stack():
        path = Path(frame.filename)
        if ROOT in path.parents and path.relative_to(ROOT).parts[0] in OURS:
            frames.append(f"{path.relative_to(ROOT)}:{frame.name}")
    return frames


class Noting(nn.Module):
    """A small network that writes down who called it, the first time that it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body = build_model(
            "convnet", width=0.25, image_size=32, norm="batch", generator_seed=0
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding."""
        note = Path(os.environ[NOTE])
        frames = ours()
        trains = [place for place, frame in enumerate(frames) if frame.endswith(":train_round")]
        if self.training and trains and not note.exists():
            note.write_text("\n".join(frames[: trains[-1] + 1]))
        logits, embedding = self.body(x)
        return logits, embedding


def network() -> nn.Module:
    """Return the network that ``model.name = frames:network`` names."""
    return Noting()


def road(kind: str, folder: Path) -> list[str]:
    """Return the frames from the command to the training loop."""
    note = folder / f"frames-{kind}"
    os.environ[NOTE] = str(note)
    driver: list[str] = []
    if kind == "ray":
        import ray

        wait = ray.wait

        def noting(*arguments: object, **options: object) -> object:
            frames = ours()
            if not driver and "server/rounds.py:train" in frames:
                driver[:] = frames
            return wait(*arguments, **options)  # type: ignore[arg-type]

        ray.wait = noting  # type: ignore[assignment]
    words = ["run", "--quiet", "--no-report", f"engine.kind={kind}", f"folder={folder / kind}"]
    if main([*words, "model.name=frames:network", *TINY]) != 0:
        raise SystemExit("the run failed")
    return driver + note.read_text().splitlines()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("inline", "ray"):
            frames = road(kind, Path(scratch))
            print(f"{kind}: {len(frames)} frames in {len({f.split(':')[0] for f in frames})} files")
            print("\n".join(f"  {frame}" for frame in frames), flush=True)
    sys.exit(0)
