"""Settings by the thousand, most of them wrong: each gets one sentence, or goes round unchanged.

    python tests/fuzz_config.py [CALLS] [SEED]

prints how many got a sentence, how many parsed, and how many faults there were, and exits with 1
on a fault. A fault is any exception but ``UserError``, a sentence of more than one line or of more
than 700 letters, or a study that is another one when it is written, read back or read by a site.
"""

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from federated.config.given import parse_overrides, parse_toml, read_config
from federated.config.keys import CALENDAR, KEYS, Key, plain
from federated.config.presets import METHODS
from federated.config.study import parse
from federated.config.writing import parse_run_config, run_config_of, to_toml
from federated.errors import UserError

LONGEST = 700
TEXTS = (
    *(
        "",
        " ",
        "a\nb",
        "a\x00b",
        "\x7f",
        'say "hi"',
        "it's",
        "\\",
        "ü\u2028\u200b",
        "\udc80",
        "\x1b[1m",
    ),
    *("nan", "inf", "-0", "1e400", "0x10", "1_000", "true", "None", "..", "a/b", "-", "x" * 400),
    *(
        "[1, 2]",
        "{}",
        "a,b",
        ",",
        "1,1",
        "1,,2",
        "# no",
        "=",
        "no.such:thing",
        "os:path",
        ":",
        "a:",
    ),
)
ODD = (
    *(True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 10**5000, 0.5, 1e308, -0.0),
    *(float("nan"), float("inf"), float("-inf"), [], [[]], [1, [2]], [1.5], [True], [float("nan")]),
    *(date(2026, 1, 5), datetime(2026, 1, 5, 6), time(6), {}, {"a": 1}, None, b"bytes", [10**400]),
)
DOCUMENTS = (
    b"\xff\xfe",
    b"rounds = 1\nrounds = 2",
    b"train = 1\n[train]\nlr = 1",
    b"train = 1",
    b"[train]\n[train]",
    b"a = " + b"[" * 3000,
    b".".join([b"a"] * 3000) + b" = 1",
    b"rounds = " + b"9" * 5000,
    b"x = 1e400",
    b'"train.lr" = 1\ntrain.lr = 2',
    b"train.local_epochs = 1\ntrain.local-epochs = 2",
    b"method = 3",
    b"method.x = 3",
    b"[method.fedavg]\nbase = 3",
    b"[method.x]\nbase = []\n",
    b"[[method]]\nx = 1",
    b"rollout = 1",
    b"[rollout.hospital]\nx = 1",
    b'[rollout.hospital.""]\nmiss = 0.5',
    b"\x00",
    b"\xef\xbb\xbfrounds = 1",
    b"modules = 3",
    b"rollout.scenario = 3",
    b'rollout.scenario = "a\\u0000b"',
    b'[rollout.group."a\\nb"]\ncount = 1',
    b'methods = ["my_own"]\n[method.my_own]\nbase = "fedbn"',
    b'name = "a\\nb"',
    b'folder = "a\\tb"',
    b"",
    b"seeds = 07:30:00",
)


def value_for(key: Key, draw: random.Random) -> Any:
    """Return a value that fits, a value near the edges, or one of the odd ones."""
    if draw.random() < 0.4:
        return draw.choice((draw.choice(TEXTS), draw.choice(ODD)))
    if key.choices:
        return draw.choice(key.choices)
    edges = [e for e in (key.low, key.high, key.default) if isinstance(e, int | float)]
    if edges:
        number = draw.choice(edges) + draw.choice((-1, 0, 0, 1))
        return draw.choice((number, str(number), [number]))
    return draw.choice((key.default, str(key.default), *TEXTS[:8]))


def given_by(draw: random.Random) -> dict[str, Any]:
    """Return what a user might have written: some settings, methods and hospitals."""
    given = {k: value_for(KEYS[k], draw) for k in draw.sample(list(KEYS), draw.randint(0, 3))}
    if draw.random() < 0.5:
        given["methods"] = draw.sample(list(METHODS), draw.randint(1, 3))
    for _ in range(draw.choice((0, 0, 1, 2))):
        name = draw.choice(("A", "St. X", 'a"b', "a\nb", "", "ü", "a_b", "x" * 400))
        setting = draw.choice(list(CALENDAR))
        table = draw.choice(("hospital", "group"))
        given[f"rollout.{table}.{name}.{setting}"] = value_for(CALENDAR[setting], draw)
    if draw.random() < 0.3:
        name = draw.choice(("mine", "my_own", *METHODS, "a b", "../x", "sites", ""))
        given["methods"] = draw.choice((name, ["fedavg", name]))
        given[f"method.{name}.base"] = draw.choice((*METHODS, 3, [], "a:b", None))
        setting = draw.choice(list(KEYS))
        given[f"method.{name}.{setting}"] = value_for(KEYS[setting], draw)
    if draw.random() < 0.1:
        given[draw.choice((*TEXTS, "method.x", "train", "rollout.hospital.x"))] = draw.choice(ODD)
    return given


def goes_round(given: dict[str, Any]) -> None:
    """Parse settings, write and read them, on disk and as a site does.

    Raises:
        UserError: the settings are wrong.
        AssertionError: what was read is another study than what was written.
    """
    study = parse(given)
    text = to_toml(study)
    text.encode()
    assert parse(parse_toml(text, "config.toml")) == study
    assert to_toml(parse(parse_toml(text, "config.toml"))) == text
    assert parse(parse_run_config(run_config_of(study))) == study
    flower = {key: plain(value) for key, value in given.items()}
    # Flower's "" means: as the method says. Only our own grids can say that there is none.
    unsaid = {key for key, value in flower.items() if value == ""}
    if not any(unsaid & set(METHODS[base].settings) for base in study.bases.values()):
        assert parse(parse_run_config(flower)) == study


def call_for(draw: random.Random, folder: Path) -> Callable[[], None]:
    """Return one call: of settings, of words of the command line, or of a file."""
    kind = draw.random()
    if kind < 0.8:
        given = given_by(draw)
        return lambda: goes_round(given)
    if kind < 0.9:
        words = [f"{key}={value}" for key, value in _printable(given_by(draw))]
        words += [draw.choice(TEXTS)] if draw.random() < 0.2 else []
        return lambda: goes_round(parse_overrides(words))
    path = folder / "config.toml"
    path.write_bytes(draw.choice(DOCUMENTS))
    return lambda: goes_round(read_config(path))


def _printable(given: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(k, v) for k, v in given.items() if v != 10**5000]  # no shell passes it on


def fuzz(calls: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how many calls ended how, and a line on each fault."""
    draw, counts, faults = random.Random(seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(calls):
            try:
                call_for(draw, Path(folder))()
                counts["ok"] += 1
            except UserError as error:
                good = "\n" not in str(error) and len(str(error)) <= LONGEST
                counts["sentence" if good else "fault"] += 1
                if not good:
                    faults.append(f"call {number}: {str(error)!r}")
            except Exception as error:
                counts["fault"] += 1
                faults.append(f"call {number}: {type(error).__name__}: {str(error)[:300]}")
    return counts, faults


def main() -> int:
    calls, seed = (int(word) for word in (sys.argv[1:] + ["31530", "0"][len(sys.argv) - 1 :]))
    counts, faults = fuzz(calls, seed)
    print("\n".join(faults[:20]))
    print(f"{calls} calls: " + ", ".join(f"{counts[k]} {k}" for k in ("sentence", "ok", "fault")))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
