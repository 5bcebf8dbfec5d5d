"""The order-independent weighted sum against exact rational arithmetic."""

from fractions import Fraction
from functools import reduce
from itertools import permutations
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.exchange.exact import LIMIT, QUICK_LIMIT, Accumulator, ExactSum

values = st.floats(-1e6, 1e6, width=32)
site = st.tuples(st.lists(values, min_size=3, max_size=3), st.integers(1, 100_000))


def as_sum(entry: tuple[list[float], int]) -> ExactSum:
    return ExactSum.of({"w": np.array(entry[0], dtype=np.float32)}, entry[1])


@settings(max_examples=200, deadline=None)
@given(st.lists(site, min_size=1, max_size=6))
def test_mean_equals_rational_arithmetic(sites: list[tuple[list[float], int]]) -> None:
    mean = reduce(add, map(as_sum, sites)).mean()["w"]
    total = sum(weight for _, weight in sites)
    for k in range(3):
        exact = sum(Fraction(np.float32(v[k]).item()) * n for v, n in sites) / total
        error = abs(Fraction(mean[k].item()) - exact)
        # One rounding of the parts per site, one of the float64 result.
        assert error <= len(sites) * Fraction(1, 2**73) + abs(exact) * Fraction(1, 2**51)


@settings(max_examples=50, deadline=None)
@given(st.lists(site, min_size=2, max_size=4))
def test_order_and_grouping_change_no_bit(sites: list[tuple[list[float], int]]) -> None:
    sums = [as_sum(entry) for entry in sites]
    expected = reduce(add, sums).mean()["w"].tobytes()
    for order in permutations(sums):
        assert reduce(add, order).mean()["w"].tobytes() == expected
    grouped = sums[0] + reduce(add, sums[1:])
    assert grouped.mean()["w"].tobytes() == expected


@settings(max_examples=200, deadline=None)
@given(st.floats(2**-48, 2**20, width=32), st.integers(1, 2**17))
def test_a_lone_site_comes_back_unchanged(value: float, weight: int) -> None:
    array = np.array([value, -value, 0.0], dtype=np.float32)
    mean = ExactSum.of({"w": array}, weight).mean()["w"].astype(np.float32)
    assert mean.tobytes() == array.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_cannot_be_added_exactly_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite or too large"):
        ExactSum.of({"w": np.array([1.0, bad], dtype=np.float32)}, 3)


def exact_parts(value: float, weight: int) -> tuple[int, int]:
    """Return the two integers that stand for a summand, by rational arithmetic."""
    product = Fraction(value) * weight
    high = round(product * 2**24)
    return high, round((product - Fraction(high, 2**24)) * 2**72)


@settings(max_examples=300, deadline=None)
@given(st.floats(-(2**30), 2**30, width=32), st.integers(1, 255))
def test_the_integers_are_those_of_rational_arithmetic(value: float, weight: int) -> None:
    """Below QUICK_LIMIT by adding a constant, above it by casting: one rule, half to even."""
    total = ExactSum.of({"w": np.array([value], dtype=np.float32)}, weight)
    high, low = total.parts["w"]
    assert (int(high[0]), int(low[0])) == exact_parts(value, weight)


@pytest.mark.parametrize("edge", [QUICK_LIMIT, LIMIT])
def test_the_integers_are_right_at_the_edges(edge: float) -> None:
    for value in (np.nextafter(edge, 0), -np.nextafter(edge, 0), edge / 2, 2.0**-25, 3 * 2.0**-25):
        high, low = ExactSum.of({"w": np.array([value])}, 1).parts["w"]
        assert (int(high[0]), int(low[0])) == exact_parts(value, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(site, min_size=1, max_size=6), st.integers(0, 6))
def test_partial_sums_make_one_sum(sites: list[tuple[list[float], int]], cut: int) -> None:
    """However sites are dealt to accumulators, and though one of them sends what is refused."""
    expected = reduce(add, map(as_sum, sites))
    whole = Accumulator()
    for part in (sites[:cut], sites[cut:]):
        accumulator = Accumulator()
        for values, weight in part:
            accumulator.include({"w": np.array(values, dtype=np.float32)}, weight)
            with pytest.raises(ValueError, match="b: a value"):
                accumulator.include({"w": np.ones(3), "b": np.array(np.nan)}, 1)
        whole.absorb(accumulator.total())
    found = whole.total()
    assert found.weight == expected.weight
    for one, other in zip(found.parts["w"], expected.parts["w"], strict=True):
        assert one.tobytes() == other.tobytes()


def test_blocks_leave_no_seam() -> None:
    """A tensor of several blocks has the sum of its elements, each by itself."""
    values = np.random.default_rng(0).normal(size=(3, 2**15 + 7)).astype(np.float32)
    high, low = ExactSum.of({"w": values}, 11).parts["w"]
    assert high.shape == values.shape
    for place in [(0, 0), (0, 2**15 - 1), (0, 2**15), (1, 2**15 - 7), (2, 2**15 + 6)]:
        expected = exact_parts(float(values[place]), 11)
        assert (int(high[place]), int(low[place])) == expected
