"""Secure aggregation as laws: the sum is the plain one to the bit, and no update is readable."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Error, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from sites import arrived, opener
from test_laws import assert_same_bits
from test_messages import load_with
from test_methods import weights as weights_of

from clients import masking
from clients.app import app as client_app
from federated.config.study import parse
from federated.engine import check
from federated.engine.grid import enter_task
from federated.errors import UserError
from federated.exchange.exact import Accumulator, ExactSum
from federated.exchange.masked import CHECK, checked_sum, integers_of, sum_of, threshold_of
from federated.exchange.sharing import Release
from federated.exchange.wire import BadOrderError, Report
from federated.masks.keys import BadSharesError, Pair, agreed, opened, public_of, sealed
from federated.masks.masking import inverse, own_mask, pair_masks
from federated.masks.shares import PRIME, joined, split, weights
from server.cell import RunStoppedError

SITES = {"phantom__sites": 4, "phantom__patients": 6, "rounds": 1}
MASKED = {"privacy__secure_aggregation": True, **SITES}
SECRET = bytes(range(200, 232))


# shares, keys, masks


def test_any_three_of_five_tell_a_secret_and_two_tell_any_other() -> None:
    shares = dict(enumerate(split(SECRET, 5, 3), 1))
    for owners in combinations(shares, 3):
        assert joined({k: shares[k] for k in owners}, weights(list(owners))) == SECRET
    # Two shares and an invented third are on a polynomial of any secret there is.
    wanted, counts = int.from_bytes(bytes(32), "big"), weights([1, 2, 3])
    known = sum(counts[k] * int.from_bytes(shares[k], "big") for k in (1, 2))
    third = (wanted - known) * pow(counts[3], -1, PRIME) % PRIME
    two = {1: shares[1], 2: shares[2], 3: third.to_bytes(33, "big")}
    assert joined(two, counts) == bytes(32)


def test_shares_are_in_a_field() -> None:
    """Every number below 2^256 + 297 has an inverse, by Fermat's test to many bases."""
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13, 17, 19, 23))
    with pytest.raises(ValueError, match="cannot share"):
        split(SECRET, 3, 4)


def test_two_agree_and_a_third_cannot_read_or_change() -> None:
    a, b, c = (bytes([k]) * 32 for k in (1, 2, 3))
    assert agreed(a, public_of(b)) == agreed(b, public_of(a)) != agreed(c, public_of(a))
    text = sealed(b"shares", Pair("s", "a", "b"), agreed(a, public_of(b)))
    assert opened(text, Pair("s", "a", "b"), agreed(b, public_of(a))) == b"shares"
    for pair, key in ((Pair("s", "b", "a"), a), (Pair("t", "a", "b"), a), (Pair("s", "a", "b"), c)):
        with pytest.raises(BadSharesError):
            opened(text, pair, agreed(key, public_of(b)))


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 6), st.data())
def test_masks_of_pairs_vanish_and_those_of_the_lost_are_taken_off(
    count: int, data: st.DataObject
) -> None:
    """Modulo 2^64 and to the bit, whoever of the sites is lost after masks were agreed on."""
    names = [f"site-{k}" for k in range(count)]
    lost = data.draw(st.sets(st.sampled_from(names), max_size=count - 2))
    private = {n: bytes([k + 1]) * 32 for k, n in enumerate(names)}
    public = {n: public_of(key) for n, key in private.items()}
    rng = np.random.default_rng(count)
    plain = {
        n: {"w": rng.integers(-(2**62), 2**62, 5), "v": rng.integers(0, 9, (2, 1))} for n in names
    }
    total = {"w": np.zeros(5, np.int64), "v": np.zeros((2, 1), np.int64)}
    expected = {name: array.copy() for name, array in total.items()}
    for n in sorted(set(names) - lost):
        sent = {name: array.copy() for name, array in plain[n].items()}
        own_mask(private[n], "s", n).apply(sent)
        for mask in pair_masks(private[n], n, {p: public[p] for p in names if p != n}, "s"):
            mask.apply(sent)
        assert not np.array_equal(sent["v"], plain[n]["v"])
        for name in total:
            total[name] += sent[name]
            expected[name] += plain[n][name]
    left = sorted(set(names) - lost)
    for n in left:
        [mask] = inverse([own_mask(private[n], "s", n)])
        mask.apply(total)
    for n in lost:
        for mask in pair_masks(private[n], n, {p: public[p] for p in left}, "s"):
            mask.apply(total)
    assert all(np.array_equal(total[name], expected[name]) for name in total)


def test_a_sum_with_a_mask_still_on_it_is_no_sum() -> None:
    release = Release({"weights/w": arrived_like(3)})
    arrays = integers_of(release, 7, 20)
    plain = ExactSum.of({n: t.numpy() for n, t in release.tensors.items()}, 7)
    accumulator = Accumulator()
    accumulator.absorb(sum_of(arrays, 7))
    total = accumulator.total()
    assert checked_sum(total).parts.keys() == {"weights/w"} and CHECK in total.parts
    assert_same_bits(checked_sum(total).mean(), plain.mean())
    own_mask(SECRET, "s", "a").apply({n: p[1] for n, p in total.parts.items()})
    with pytest.raises(ValueError, match="mask is still on"):
        checked_sum(total)


def arrived_like(count: int):
    import torch

    return torch.randn(count, generator=torch.Generator().manual_seed(0))


# a site


def message(site: str, **plan: object) -> Message:
    enter_task()
    content = {"session": "s", "heaviest": 100, **plan}
    from flwr.app import RecordDict

    return Message(RecordDict({"masking": ConfigRecord(content)}), 1, "train", group_id=site)


def test_a_site_masks_one_release_and_tells_one_secret_of_each_peer(tiny, tmp_path) -> None:
    """Told both, or given two releases under the same masks, the server could read an update."""
    names = ["phantom-1", "phantom-2", "phantom-3"]
    open_tiny = opener(tiny, tmp_path)
    sites = {n: open_tiny("fedavg", site=n, privacy__secure_aggregation=True) for n in names}
    keys = {n: masking.keys(s, message(n)).tensors for n, s in sites.items()}
    assert all(
        (masking.keys(sites[n], message(n)).tensors[k] == v).all()
        for n in names
        for k, v in keys[n].items()
    )
    plan = {
        "sites": names,
        "mask_keys": [keys[n]["keys/mask"].numpy().tobytes() for n in names],
        "share_keys": [keys[n]["keys/shares"].numpy().tobytes() for n in names],
    }
    rows = {
        n: masking.shares(s, message(n, **plan)).tensors["shares/sealed"] for n, s in sites.items()
    }
    site, reports = sites["phantom-1"], [Report("phantom-1", "train", "current", 5, {})]
    first, second = (Release(arrived(site, seed)) for seed in (1, 2))
    with pytest.raises(BadOrderError, match="not by both"):
        masking.hidden(
            Message(message("x").content, 1, "train"),
            replace(site, config=parse(tiny()).by_method["fedavg"]),
            first,
            reports,
        )
    hidden = [masking.hidden(message("x", sites=names), site, first, reports) for _ in range(2)]
    assert all((hidden[0].tensors[k] == hidden[1].tensors[k]).all() for k in hidden[0].tensors)
    with pytest.raises(BadOrderError, match="give both away"):
        masking.hidden(message("x", sites=names), site, second, reports)
    text = [rows[n][0].numpy().tobytes() for n in names]
    told = masking.told(site, message("x", sites=names, answered=names, sealed=text))
    assert told.tensors["shares/told"].shape == (3, 33)
    with pytest.raises(BadOrderError, match="give an update away"):
        masking.told(site, message("x", sites=names, answered=names[:2], sealed=text))
    with pytest.raises(BadOrderError, match="keys of"):
        masking.hidden(message("x", sites=names, session="t"), site, first, reports)


# whole runs


def losing(action: str, site: str = "phantom-2"):
    """Return a client of which one site's reply to an action is lost after the work is done."""

    def client(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        order = message.content.config_records["order"]
        is_it = message.metadata.message_type == action and order["site"] == site
        return Message(Error(4, "lost"), reply_to=message) if is_it else reply

    return client


@pytest.fixture(scope="module")
def plain_bits() -> dict[str, dict[str, np.ndarray]]:
    return {}


@pytest.mark.parametrize("action", ["", "query.keys", "query.shares", "train", "query.unmask"])
def test_the_sum_is_the_plain_one_to_the_bit_whenever_a_site_is_lost(
    run_tiny, monkeypatch: pytest.MonkeyPatch, plain_bits, action: str
) -> None:
    load = "federated.engine.running.load_app"
    missing = "train" if action in ("query.keys", "query.shares", "train") else ""
    if missing not in plain_bits:
        monkeypatch.setattr(load, load_with(losing(missing)))
        plain_bits[missing] = weights_of(run_tiny("plain", **SITES), "fedavg", 1)
    monkeypatch.setattr(load, load_with(losing(action)))
    run = run_tiny("masked", **MASKED)
    assert_same_bits(weights_of(run, "fedavg", 1), plain_bits[missing])
    told = run.metrics.query("metric == 'bytes_up'")["value"]
    assert told.max() > 16 * 10_000  # eight bytes for each of two integers of a weight


def test_a_round_with_too_few_sites_stops_and_says_so(run_tiny, monkeypatch) -> None:
    with pytest.raises(RunStoppedError, match="2 sites are there for secure aggregation, and 3"):
        run_tiny("two", **{**MASKED, "phantom__sites": 2})
    assert [threshold_of(n) for n in (3, 4, 5, 10, 100)] == [2, 3, 4, 7, 67]


@pytest.mark.parametrize(
    ("sentence", "settings"),
    {
        "server.norm-limit": {"server.norm-limit": 1},
        "rollout.policy": {"rollout.policy": "fedbuff"},
        "pooled": {"methods": "pooled"},
    }.items(),
)
def test_what_reads_single_updates_is_refused(tiny, sentence: str, settings) -> None:
    with pytest.raises(UserError, match=f"no update is seen, and {sentence}"):
        check(parse({**tiny(), "privacy.secure-aggregation": True, **settings}))
