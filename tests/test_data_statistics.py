"""What hospitals tell of their data: true sums, nothing of few images, and noise of its law."""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, laplace

from clients.describing import SHARES, with_noise
from federated import engine
from federated.commands import main as cli
from federated.data import load_site
from federated.data.described import described, grey_shares
from federated.data.entry import CacheEntry
from federated.dp import counts
from federated.dp.stream import Stream
from federated.exchange.statistics import (
    CLASSES,
    EDGES,
    GREY,
    PARTS,
    PATIENTS,
    SIZES,
    suppressed,
    withheld,
)
from federated.runs.folder import RunFolder
from federated.statistics.of_data import EVERYONE, Told, read, table

LEAST = 4
Tiny = Callable[..., dict[str, str]]


def test_no_withheld_count_follows_from_what_is_told() -> None:
    """Tried for all counts of three bins up to 9: whoever knows the rule is left in doubt."""
    possible = defaultdict(list)
    for whole in itertools.product(range(10), repeat=3):
        if sum(whole) >= LEAST:
            told = tuple(suppressed(whole, LEAST))
            shown = tuple(None if math.isnan(c) else c for c in told)
            possible[sum(whole), shown].append(whole)
    hidden = 0
    for (_, shown), wholes in possible.items():
        for place, count in enumerate(shown):
            if count is None:
                hidden += 1
                values = {whole[place] for whole in wholes}
                # A count that was few is never the only one that fits.
                assert len(values) > 1 or min(values) >= LEAST, (shown, wholes)
            else:
                assert not 0 < count < LEAST
    assert hidden > 100


@given(st.lists(st.integers(0, 60), min_size=1, max_size=9), st.integers(0, 20))
def test_what_is_told_is_true_and_withholding_twice_is_withholding_once(
    whole: list[int], least: int
) -> None:
    once = suppressed(whole, least)
    assert all(math.isnan(c) or c == w for c, w in zip(once, whole, strict=True))
    assert not any(0 < c < least for c in once)
    np.testing.assert_array_equal(suppressed(once, least), once)
    if least <= 1:
        assert once == whole


def entry(rows: int, seed: int = 0) -> CacheEntry:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "label": generator.integers(0, 2, rows),
            "width": generator.integers(60, 1400, rows),
            "height": generator.integers(60, 1400, rows),
            "patient": generator.choice(["", "p1", "p2"], rows),
            "group": generator.choice(["g1", "g2", "g3"], rows),
        }
    )
    pixels = generator.integers(0, 256, (rows, 8, 8), dtype=np.uint8)
    return CacheEntry(frame, pixels, pixels)


def test_the_sum_of_two_hospitals_is_the_answer_of_both_in_one() -> None:
    one, two = entry(70), entry(30, 1)
    both = CacheEntry(
        pd.concat([one.rows, two.rows], ignore_index=True),
        np.concatenate([one.pixels, two.pixels]),
        np.concatenate([one.pixels, two.pixels]),
    )
    first, second, whole = (described(e, 3, 2) for e in (one, two, both))
    for name in (*CLASSES[:2], *SIZES, *PATIENTS):
        assert first[name] + second[name] == whole[name]
    for part in PARTS:
        assert sum(whole.get(name, 0) for name in part) == 100
    rows = {"a": {"images": 70, **first}, "b": {"images": 30, **second}}
    greys = Told(pd.DataFrame(rows).T, 0).greys().loc[EVERYONE]
    np.testing.assert_allclose(greys, [whole[name] for name in GREY], atol=1e-12)


def test_counts_by_hand() -> None:
    given = entry(3)
    rows = given.rows.assign(
        label=[1, 0, 1], width=[127, 128, 2000], height=[500, 300, 1024], patient=["", "p", "p"]
    )
    pixels = np.zeros((3, 8, 8), np.uint8)
    pixels[0], pixels[1, :4] = 255, 17
    told = described(CacheEntry(rows, pixels, pixels), 5, 2)
    assert [told[name] for name in CLASSES[:2]] == [1, 2]
    assert [told[name] for name in SIZES] == [1, 1, 0, 0, 0, 0, 1] and len(EDGES) == 6
    assert [told[name] for name in PATIENTS] == [2, 1] and told["left_out"] == 5
    np.testing.assert_allclose(grey_shares(pixels)[1], [0.5, 0.5, *[0] * 14])
    assert told["grey_15"] == pytest.approx(1 / 3)


def test_noise_is_of_the_law_that_hides_an_image() -> None:
    epsilon, count = 0.7, 40_000
    drawn = counts.geometric(count, epsilon, Stream(b"k" * 32))
    alpha = math.exp(-epsilon)
    values = np.arange(-6, 7)
    law = (1 - alpha) / (1 + alpha) * alpha ** np.abs(values)
    seen = np.array([(drawn == value).sum() for value in values])
    rest = count - seen.sum()
    assert chisquare([*seen, rest], [*(law * count), (1 - law.sum()) * count]).pvalue > 1e-3
    real = counts.laplace(count, epsilon, Stream(b"l" * 32))
    assert kstest(real, laplace(scale=1 / epsilon).cdf).pvalue > 1e-3
    # Neighbours: the ratio of any two probabilities is at most e^epsilon.
    assert max(law[1:] / law[:-1]) <= math.exp(epsilon) * (1 + 1e-12)


def test_an_answer_with_noise_divides_its_budget_and_has_no_count_below_0() -> None:
    told = described(entry(40), 0, 2)
    noisy = with_noise(told, 40, 1.0, Stream(b"m" * 32))
    assert noisy.keys() == {*told, "epsilon"} and noisy["epsilon"] == 1.0
    assert SHARES == 6  # three parts, groups, files left out, greys
    assert all(noisy[n] >= 0 and noisy[n].is_integer() for n in (*SIZES, *PATIENTS))
    assert noisy != with_noise(told, 40, 1.0, Stream(b"n" * 32))


def test_two_budgets_have_noise_of_their_own(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same noise at two scales would cancel out and leave the counts."""
    words = [f"{k}={v}" for k, v in tiny("run", methods="fedbn").items() if k != "folder"]
    words += ["statistics.minimum=0", "phantom.patients=40", "--json"]

    def asked(epsilon: float) -> np.ndarray:
        assert cli.main(["statistics", *words, f"statistics.epsilon={epsilon}"]) == 0
        answers = json.loads(capsys.readouterr().out).values()
        return np.array([a[n] for a in answers for n in ("class_0", "class_1", "patient_known")])

    one, two, plain = asked(1), asked(2), asked(0)
    assert (one != plain).any() and np.array_equal(one, asked(1))
    assert np.abs((one - plain) - 2 * (two - plain)).max() > 4


def test_hospitals_tell_before_round_1_and_their_ledgers_have_it(tiny: Tiny) -> None:
    given = tiny("run", rounds=1, methods="fedbn", statistics__ask="before")
    run = engine.run(given)
    told = read(RunFolder(run.folder).data_statistics, 11)
    for site in run.sites:
        data = load_site(run.study.common, site)
        labels = np.concatenate([data.split(s).labels for s in ("train", "val", "test")])
        numbers = told.numbers.loc[site]
        if len(labels) >= 11:
            assert numbers["images"] == len(labels)
            if not np.isnan(numbers["class_1"]):
                assert numbers["class_1"] == labels.sum()
    assert run.has_ended
    plain = engine.run(tiny("plain", rounds=1, methods="fedbn"))
    pd.testing.assert_frame_equal(
        run.values("auc", "val"), plain.values("auc", "val"), check_exact=True
    )
    assert cli.main(["ledger", "verify", str(run.folder)]) == 0


def test_too_few_images_are_told_as_too_few(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    given = tiny("run", statistics__minimum=10_000, methods="fedbn")
    words = [f"{k}={v}" for k, v in given.items() if k != "folder"]
    assert cli.main(["statistics", *words]) == 0
    out = capsys.readouterr().out
    assert "under 10000" in out and "Told nothing, with fewer images" in out


def test_the_command_prints_json_and_keeps_what_it_is_told_to(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{k}={v}" for k, v in tiny("run", methods="fedbn").items() if k != "folder"]
    assert cli.main(["statistics", *words, "statistics.minimum=0", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert answers
    for answer in answers.values():
        assert answer["images"] == answer["class_0"] + answer["class_1"]
    to = tmp_path / "kept"
    assert cli.main(["statistics", *words, "--to", str(to)]) == 0
    assert (to / "data_statistics.png").exists() and not (to / "fedbn").exists()
    assert cli.main(["statistics", *words, "--to", str(to)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_pooled_training_has_nobody_to_ask(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{k}={v}" for k, v in tiny("run", methods="pooled").items() if k != "folder"]
    assert cli.main(["statistics", *words]) == 2
    assert "needs a method that is not pooled" in capsys.readouterr().err


def test_a_table_says_at_least_where_something_is_withheld() -> None:
    numbers = withheld({"class_0": 50.0, "class_1": 3.0, "groups": 30.0}, 11)
    assert np.isnan(numbers["class_0"]) and np.isnan(numbers["class_1"])
    rows = {"a": {"images": 53.0, **numbers}, "b": {"images": 40, "class_0": 20, "class_1": 20}}
    text = table(Told(pd.DataFrame(rows).T.astype(float), 11), ["no", "yes"])
    by_site = text.set_index("site")
    assert by_site.loc["a", "yes"] == "withheld" and by_site.loc["a", "prevalence"] == "–"
    assert by_site.loc[EVERYONE, "yes"] == "at least 20"
    assert by_site.loc[EVERYONE, "images"] == "93"
    assert by_site.loc[EVERYONE, "prevalence"].startswith("0.50 [")
