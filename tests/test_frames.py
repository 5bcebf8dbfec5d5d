"""README's count of frames between the command and the training loop is what is counted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COUNTED = re.compile(r"(inline|ray): (\d+) frames in (\d+) files")
TOLD = re.compile(r"are (\d+) frames of ours in (\d+) files inline, and (\d+) in (\d+) on Ray")


@pytest.mark.ray
def test_the_first_page_counts_the_frames_that_there_are() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "frames.py")]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    counted = {kind: (int(n), int(files)) for kind, n, files in COUNTED.findall(done.stdout)}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    [told] = TOLD.findall(text)
    numbers = [int(number) for number in told]
    assert counted == {"inline": tuple(numbers[:2]), "ray": tuple(numbers[2:])}
