"""What a rollout does to a hospital: images that come in, another scanner, garbage, voids."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sites import ORDER, OpenTiny, arrived, copied, opener, same

from clients import finish, work
from clients.measuring import keep_by_rule
from clients.site import Site
from clients.vault import Vault, is_void
from clients.vault_files import VERSIONS_KEPT, kept_name
from federated.data.growing import first_images
from federated.data.replaced import replaced_scanner, through_new_scanner
from federated.exchange.sharing import group
from federated.exchange.wire import Report
from federated.learning.evaluation import embed
from federated.learning.memory import unit


@pytest.fixture
def open_tiny(tiny: Callable[..., dict[str, str]], tmp_path: Path) -> OpenTiny:
    return opener(tiny, tmp_path)


# Images that come in over the weeks


def test_images_by_hand_and_nested(open_tiny) -> None:
    site = open_tiny("fedbn", {"go-live": 2, "images": 4, "images-per-week": 1.5})
    full = site.data.train
    names: list[set[str]] = []
    for week, count in {2.0: 4, 3.0: 5, 4.0: 7, 5.9: 9}.items():
        now = site.at(week)
        assert len(now.images("train")) == count  # 4 + floor(1.5 x weeks since week 2)
        positions = [full.ids.index(name) for name in now.data.train.ids]
        assert positions == sorted(positions)
        np.testing.assert_array_equal(now.data.train.images, full.images[positions])
        np.testing.assert_array_equal(now.data.train.labels, full.labels[positions])
        assert now.data.val is site.data.val and now.data.test is site.data.test
        names.append(set(now.data.train.ids))
    assert all(a < b for a, b in pairwise(names))


def test_the_order_depends_on_site_and_split_seed_alone() -> None:
    assert first_images(40, 9, "a", 0).tolist() == first_images(40, 9, "a", 0).tolist()
    assert first_images(40, 9, "a", 0).tolist() != first_images(40, 9, "b", 0).tolist()
    assert first_images(40, 9, "a", 0).tolist() != first_images(40, 9, "a", 1).tolist()
    assert first_images(40, 40, "a", 0).tolist() == list(range(40))


def test_once_all_images_are_there_the_bits_are_those_without_a_scenario(open_tiny) -> None:
    plain = open_tiny("consilium")
    grown = open_tiny("consilium", vault="grown", of={"images": 4, "images-per-week": 1})
    late = replace(ORDER, week=999.0)
    assert grown.at(999.0).data.train.images is grown.data.train.images
    expected = work.train([plain], ORDER, arrived(plain))
    vaulted = plain.vault.load(before=4)[0]
    found = work.train([grown], late, arrived(grown))
    assert same(expected[0].tensors, found[0].tensors) and expected[1] == found[1]
    assert same(vaulted, grown.vault.load(before=4)[0])


def test_the_report_counts_the_images_used(open_tiny) -> None:
    site = open_tiny("fedbn", {"images": 9, "images-per-week": 1})
    _, [report] = work.train([site], replace(ORDER, week=2.0), arrived(site))
    assert report.num_examples == report.metrics["images_seen"] == 11


def test_memory_keeps_its_images_while_others_come_in(open_tiny) -> None:
    site = open_tiny("consilium", {"images": 5, "images-per-week": 1}, contrast__stale="re-embed")
    labels = torch.tensor(site.data.train.labels)
    for round, week in ((3, 0.0), (4, 2.0), (5, 99.0)):
        before = group(site.vault.load(before=round)[0], "memory")
        work.train([site], replace(ORDER, round=round, week=week), arrived(site))
        memory = group(site.vault.load(before=round + 1)[0], "memory")
        assert torch.equal(memory["labels"], labels[memory["ids"]])
        there = site.data.train.ids if week > 9 else site.at(week).data.train.ids
        assert {site.data.train.ids[i] for i in memory["ids"].tolist()} == set(there)
        if before:
            old = len(before["ids"])
            assert torch.equal(memory["ids"][:old], before["ids"])
    # Entries of the first rounds, made anew under the weights of the last: from their own images.
    model = site.model
    model.load_state_dict(
        {**group(arrived(site), "weights"), **group(site.vault.load(before=5)[0], "private")}
    )
    expected = unit(embed(model, site.images("train"), memory["ids"][:old], site.compute))
    torch.testing.assert_close(memory["embeddings"][:old], expected)


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_images_train_nothing_and_are_evaluated(open_tiny, images: int) -> None:
    site = open_tiny("consilium", {"images": images}, personalise__epochs=1)
    order = replace(ORDER, newcomer=True)
    shared = arrived(site)
    released, [report] = work.train([site], order, shared)
    assert same(released.tensors, shared)
    assert (report.num_examples, report.metrics["steps"]) == (0, 0)
    assert work.train_frozen(site, order, shared) == [report]
    assert site.vault.load(before=9)[0] == {}
    assert {r.split for r in work.evaluate(site, order, shared)} == {"val"}
    assert finish.finish(site, order)


def test_a_site_that_the_scenario_leaves_out_does_not_crash(open_tiny) -> None:
    site = open_tiny("fedbn", {"images": 3}, rollout__only="phantom-2")
    assert len(site.at(0.0).data.train) == len(site.data.train)


# A new scanner


def test_a_new_scanner_shows_every_split_otherwise_from_its_week_on(open_tiny) -> None:
    site = open_tiny("fedbn", {"new-scanner": 4})
    for name in ("train", "val", "test"):
        old, before, after = (s.data.split(name) for s in (site, site.at(3.9), site.at(4.0)))
        assert before is old
        assert after.images.shape == old.images.shape and after.images.dtype == np.uint8
        changed = (after.images != old.images).any(axis=(1, 2))
        assert changed.all()
        assert after.ids == old.ids
        np.testing.assert_array_equal(after.labels, old.labels)
    assert site.at(5.0).data is site.at(4.0).data


def test_the_new_scanner_is_a_function_of_names_and_seed(open_tiny) -> None:
    data = open_tiny("fedbn").data
    first, again = (through_new_scanner(data, 1.0, 0).val.images for _ in range(2))
    np.testing.assert_array_equal(first, again)
    renamed = through_new_scanner(replace(data, name="other"), 1.0, 0).val.images
    assert (first != renamed).any()
    assert (first != through_new_scanner(data, 1.0, 1).val.images).any()
    assert through_new_scanner(data, 0.0, 0) is data


def test_all_methods_share_the_new_images(open_tiny) -> None:
    configs = [open_tiny(method).config for method in ("fedbn", "consilium")]
    assert len({id(replaced_scanner(c, "phantom-1", 1.0)) for c in configs}) == 1


def test_growth_and_new_scanner_go_together(open_tiny) -> None:
    site = open_tiny("fedbn", {"new-scanner": 4, "images": 6})
    both = site.at(4.0)
    seen = replaced_scanner(site.config, "phantom-1", 1.0).train.images
    np.testing.assert_array_equal(both.data.train.images, seen[both.present])


def test_a_score_of_the_old_scanner_is_not_compared_with_one_of_the_new(open_tiny) -> None:
    site = open_tiny("fedbn", {"new-scanner": 4}, keep__rule="best")

    def score(round: int, week: float, auc: float) -> int:
        report = Report("phantom-1", "val", "current", 1, {"auc": auc, "loss": 1.0})
        order = replace(ORDER, round=round, week=week)
        facts = keep_by_rule(site, order, site.vault.load(before=round)[1], [report], {})
        site.vault.save(round, {}, facts)
        kept = facts["kept"]
        found = site.vault.kept_model(round + 1)
        assert found is not None and found[1]["round"] == kept["round"]
        return int(kept["round"])

    assert [score(1, 0, 0.9), score(2, 1, 0.8)] == [1, 1]
    assert [score(4, 4, 0.6), score(5, 5, 0.5), score(6, 6, 0.7)] == [4, 4, 6]


def kept_rounds(site: Site, aucs: list[float]) -> list[int]:
    """Return which round is kept after each of some evaluations, every one of them told twice."""
    facts: dict[str, Any] = {}
    rounds = []
    for round, auc in enumerate(aucs, 1):
        # A network that diverged has NaN for every metric, the loss included.
        loss = np.nan if np.isnan(auc) else 1.0
        report = Report("phantom-1", "val", "current", 1, {"auc": auc, "loss": loss})
        order = replace(ORDER, round=round)
        facts = keep_by_rule(site, order, facts, [report], {})
        assert keep_by_rule(site, order, facts, [report], {}) == facts
        rounds.append(facts["kept"]["round"])
    return rounds


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("best", [1, 1, 3, 3, 5, 5]),
        ("last", [1, 1, 3, 3, 5, 6]),
        ("smoothed", [1, 1, 3, 3, 5, 6]),
    ],
)
def test_predictions_that_are_not_finite_are_kept_only_for_want_of_others(
    open_tiny, rule: str, expected: list[int]
) -> None:
    site = open_tiny("fedbn", keep__rule=rule)
    assert kept_rounds(site, [np.nan, np.nan, 0.6, np.nan, 0.7, 0.66]) == expected


def test_smoothed_keeps_the_last_of_the_best_five_and_the_newest_before_there_are_five(
    open_tiny,
) -> None:
    site = open_tiny("fedbn", keep__rule="smoothed")
    # Means of five: 0.54 at round 5, 0.60 at 6, 0.62 at 7, 0.56 at 8; the best single one is 2.
    aucs = [0.5, 0.9, 0.4, 0.5, 0.4, 0.8, 1.0, 0.1]
    assert kept_rounds(site, aucs) == [1, 2, 3, 4, 5, 6, 7, 7]


# Garbage


@pytest.mark.parametrize("kind", ["noise", "nan"])
@pytest.mark.parametrize("method", ["fedavg", "fedbn"])
def test_garbage_leaves_and_the_site_is_unharmed(open_tiny, kind: str, method: str) -> None:
    site = open_tiny(method, {"garbage": "2-4", "garbage-kind": kind})
    good, reports = work.train([site], ORDER, arrived(site))
    vaulted, state = site.vault.load(before=9)[0], copied(site.model.state_dict())
    order = replace(ORDER, week=3.0)
    bad, _ = work.train([site], order, arrived(site))
    assert same(vaulted, site.vault.load(before=9)[0]) and same(state, site.model.state_dict())
    assert good.tensors.keys() == bad.tensors.keys()
    values = [t.flatten() for t in bad.tensors.values() if t.is_floating_point()]
    if kind == "nan":
        assert torch.cat(values).isnan().all()
    else:
        noise = torch.cat(values)
        assert abs(float(noise.mean())) < 5 / len(noise) ** 0.5
        assert abs(float(noise.std()) - 1) < 5 / len(noise) ** 0.5
        assert same(bad.tensors, work.train([site], order, arrived(site))[0].tensors)
    for name, tensor in good.tensors.items():
        other = bad.tensors[name]
        assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape)
        assert tensor.is_floating_point() or torch.equal(tensor, other)
    assert reports[0].metrics["images_seen"] == len(site.data.train)
    assert same(
        good.tensors, work.train([site], replace(ORDER, week=4.0), arrived(site))[0].tensors
    )


@pytest.mark.parametrize(("kind", "factor"), [("sign-flip", -1.0), ("scaled", 7.0)])
def test_an_update_is_flipped_or_scaled_from_what_was_sent(
    open_tiny, kind: str, factor: float
) -> None:
    site = open_tiny("fedbn", {"garbage": "2-4", "garbage-kind": kind, "garbage-scale": 7})
    sent = arrived(site)
    good = work.train([site], ORDER, sent)[0].tensors
    bad = work.train([site], replace(ORDER, week=3.0), sent)[0].tensors
    for name, tensor in good.items():
        expected = sent[name] + factor * (tensor - sent[name])
        torch.testing.assert_close(bad[name], expected, rtol=1e-5, atol=1e-6)
        # The projection is not trained without a contrast.
        assert torch.equal(bad[name], tensor) == name.startswith("weights/projection")


def test_a_hospital_may_train_on_flipped_labels_for_a_while(open_tiny) -> None:
    site = open_tiny("fedbn", {"garbage": "2-4", "garbage-kind": "label-flip"})
    there, bad = site.at(1.0), site.at(3.0)
    assert (bad.data.train.labels + there.data.train.labels == 1).all()
    for split in ("val", "test"):
        assert (bad.data.split(split).labels == there.data.split(split).labels).all()
    good, spoilt = (
        work.train([site], replace(ORDER, week=week), arrived(site))[0].tensors
        for week in (1.0, 3.0)
    )
    assert not same(good, spoilt)


# What a void makes of the vault


def test_void_by_hand() -> None:
    rounds = [r for r in range(1, 15) if is_void(r, "3-7,9-12,14")]
    assert rounds == [3, 4, 5, 6, 7, 9, 10, 11, 12, 14]
    assert not is_void(3, "")


@pytest.mark.parametrize("keep_all", [False, True])
def test_only_keep_all_lets_the_vault_go_back_far(tmp_path: Path, keep_all: bool) -> None:
    vault = Vault(tmp_path, {})
    for round in range(1, 7):
        vault.save(round, {"x": torch.tensor(round)}, {}, keep_all=keep_all)
    assert len(list(tmp_path.glob("round-*.safetensors"))) == (6 if keep_all else VERSIONS_KEPT)
    assert vault.load(7)[2] == 6
    assert vault.load(7, "6")[2] == 5
    assert vault.load(7, "3-4,5-6")[2] == (2 if keep_all else 0)


def test_a_kept_model_of_a_void_round_counts_as_none(tmp_path: Path) -> None:
    vault = Vault(tmp_path, {})
    vault.write_model(kept_name(4), {"x": torch.tensor(1)}, {"round": 4}, "")
    vault.save(4, {}, {"kept": {"round": 4, "score": 0.9}}, keep_all=True)
    assert vault.kept_model(5, "1-3,5") is not None
    assert vault.kept_model(5, "3-4") is None


def test_after_a_void_the_site_goes_on_as_if_those_rounds_had_not_been(open_tiny) -> None:
    straight = open_tiny("consilium", vault="straight")
    turned = open_tiny("consilium", vault="turned")
    for site, rounds in ((straight, [1, 2]), (turned, [1, 2, 3, 4])):
        for round in rounds:
            order = replace(ORDER, round=round, keep_all=True)
            work.train([site], order, arrived(site, round))
            work.evaluate(site, order, arrived(site, round))
    order = replace(ORDER, round=5, void="3-4", keep_all=True)
    expected = work.train([straight], order, arrived(straight))
    found = work.train([turned], order, arrived(turned))
    assert same(expected[0].tensors, found[0].tensors) and expected[1] == found[1]
    assert work.evaluate(turned, order, arrived(turned)) == work.evaluate(
        straight, order, arrived(straight)
    )
