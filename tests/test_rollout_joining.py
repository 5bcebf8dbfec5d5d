"""Hospitals that join late: statistics and memory of their own, and rounds that release nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import Message
from sites import ORDER, OpenTiny, arrived, copied, opener, same

from clients import work
from clients.app import app as client_app
from clients.joining import arrive
from clients.site import Site
from federated.config.training import Train
from federated.data.site import Split
from federated.engine.grid import FIRST_SITE_NODE
from federated.engine.inline import InlineGrid
from federated.exchange.fingerprint import code_digest
from federated.exchange.norms import norm_tensors
from federated.exchange.reports import read_reports
from federated.exchange.sharing import group
from federated.exchange.wire import pack_groups, pack_order
from federated.learning.evaluation import embed, recalibrate
from federated.learning.memory import unit
from federated.seeding import torch_generator

NEWCOMER = replace(ORDER, newcomer=True)
TRAINS = {"fedbn": True, "consilium": True, "silobn": False, "fedavg": False}
"""Methods, and whether what they keep private can be trained."""


@pytest.fixture
def open_tiny(tiny: Callable[..., dict[str, str]], tmp_path: Path) -> OpenTiny:
    return opener(tiny, tmp_path)


def recalibrated(site: Site) -> dict[str, torch.Tensor]:
    """Return the whole state of the site's network as a newcomer's must be, computed by itself."""
    site.model.load_state_dict({**site.initial, **group(arrived(site), "weights")})
    recalibrate(
        site.model,
        site.images("train"),
        train=Train(batch_size=8),
        limit=512,
        generator=torch_generator(0, site.name, 3, "recalibrate"),
        compute=site.compute,
    )
    return copied(site.model.state_dict())


@pytest.mark.parametrize("method", ["fedbn", "silobn", "consilium"])
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_a_newcomers_statistics_are_of_its_own_images(open_tiny, method: str, phase: str) -> None:
    site = open_tiny(method, bn__recalibrate="false")
    expected = recalibrated(site)
    if phase == "train":
        arrive(site, NEWCOMER, arrived(site), before=3)
    else:
        work.evaluate(site, NEWCOMER, arrived(site))
    assert same(dict(site.model.state_dict()), expected)
    vaulted, facts, round = site.vault.load(before=4)
    private = group(vaulted, "private")
    assert same(private, {name: expected[name] for name in site.boundary.private})
    assert (round, facts["joined"]) == (3, 3)
    affine = norm_tensors(site.model, affine=True) - norm_tensors(site.model, affine=False)
    for name in affine & private.keys():
        assert torch.equal(private[name], site.initial[name]), name


def test_a_newcomers_state_does_not_depend_on_other_sites_or_on_labels(open_tiny) -> None:
    first = open_tiny("fedbn")
    other = open_tiny("fedbn", site="phantom-2")
    work.train([other], replace(ORDER, site="phantom-2"), arrived(other))
    arrive(first, NEWCOMER, arrived(first), before=3)
    again = open_tiny("fedbn", phantom__sites=1, vault="again")
    train = again.data.train
    unlabelled = Split(train.images, train.labels * 0, train.ids)
    again = replace(again, data=replace(again.data, train=unlabelled))
    arrive(again, NEWCOMER, arrived(again), before=3)
    assert same(first.vault.load(before=4)[0], again.vault.load(before=4)[0])


@pytest.mark.parametrize("size", [5, 512])
def test_a_newcomers_memory_is_of_its_own_images_under_the_arrived_weights(
    open_tiny, size: int
) -> None:
    site = open_tiny("consilium", contrast__memory_size=size)
    expected = recalibrated(site)
    vaulted, _, _ = arrive(site, NEWCOMER, arrived(site), before=3)
    memory, images = group(vaulted, "memory"), site.images("train")
    assert len(memory["ids"]) == len(set(memory["ids"].tolist())) == min(size, len(images))
    assert torch.equal(memory["labels"], images.labels[memory["ids"]])
    assert set(memory["rounds"].tolist()) == {3}
    site.model.load_state_dict(expected)
    z = unit(embed(site.model, images, memory["ids"], site.compute))
    torch.testing.assert_close(memory["embeddings"], z)


def test_a_newcomers_memory_is_warm_at_once_and_stays_so(open_tiny) -> None:
    """With the warm-up as long as the run no other site's memory ever joins the loss."""
    losses: dict[tuple[int, bool], list[float]] = {}
    for warmup in (0, 99):
        for newcomer in (True, False):
            site = open_tiny(
                "consilium",
                vault=f"{warmup}-{newcomer}",
                contrast__warmup_rounds=warmup,
            )
            for round in (3, 4):
                order = replace(ORDER, round=round, newcomer=newcomer and round == 3)
                _, [report] = work.train([site], order, arrived(site))
                losses.setdefault((warmup, newcomer), []).append(report.metrics["loss"])
    assert losses[99, True] == losses[0, True]
    assert losses[99, False] != losses[0, False]
    assert losses[99, True][0] != losses[99, False][0]


def test_who_has_a_private_state_or_shares_nothing_does_not_join(open_tiny) -> None:
    for method in ("fedbn", "local"):
        known, newcomer = (open_tiny(method, vault=f"{method}-{n}") for n in "ab")
        before = [2, 3] if method == "fedbn" else [3]
        results = [
            [work.train([site], replace(order, round=r), arrived(site)) for r in before][-1]
            for site, order in ((known, ORDER), (newcomer, NEWCOMER))
            if method == "local" or work.train([site], replace(ORDER, round=1), arrived(site))
        ]
        assert same(results[0][0].tensors, results[1][0].tensors), method
        assert results[0][1] == results[1][1]
        assert "joined" not in newcomer.vault.load(before=4)[1]


@pytest.mark.parametrize("method", TRAINS)
@pytest.mark.parametrize("newcomer", [True, False])
def test_a_frozen_round_changes_what_is_private_alone(
    open_tiny, method: str, newcomer: bool
) -> None:
    site = open_tiny(method, bn__recalibrate="false")
    shared = arrived(site)
    [report] = work.train_frozen(site, replace(ORDER, newcomer=newcomer), shared)
    state = site.model.state_dict()
    assert same({name: state[name] for name in group(shared, "weights")}, group(shared, "weights"))
    assert all(parameter.requires_grad for parameter in site.model.parameters())
    private = group(site.vault.load(before=4)[0], "private")
    assert same(private, {name: state[name] for name in site.boundary.private})
    weights = dict(site.model.named_parameters())
    for name in private:
        if name in weights or name.endswith("running_mean"):
            assert not torch.equal(private[name], site.initial[name]), name
    if TRAINS[method]:
        assert report.num_examples == report.metrics["images_seen"] == len(site.data.train)
        assert report.metrics.keys() >= {"loss", "cross_entropy", "gradient_norm"}
    else:
        assert (report.num_examples, dict(report.metrics)) == (0, {"steps": 0, "images_seen": 0})
    memory = group(site.vault.load(before=4)[0], "memory")
    assert bool(memory) == (method == "consilium")


def test_shared_statistics_stay_where_something_private_trains(open_tiny) -> None:
    """No policy shares statistics and keeps parameters, but a network's own buffers may be such."""
    site = open_tiny("fedbn")
    spared = next(name for name in site.boundary.private if name.endswith("running_mean"))
    shape = tuple(site.initial[spared].shape)
    specs = site.boundary.shared
    boundary = replace(
        site.boundary,
        shared=(*specs, replace(specs[0], name=f"weights/{spared}", shape=shape)),
        private=tuple(name for name in site.boundary.private if name != spared),
    )
    site = replace(site, boundary=boundary)
    shared = arrived(site)
    work.train_frozen(site, ORDER, shared)
    assert torch.equal(site.model.state_dict()[spared], shared[f"weights/{spared}"])


def test_after_a_frozen_round_the_site_trains_all_that_it_would_have(open_tiny) -> None:
    trained = []
    for frozen_first in (False, True):
        site = open_tiny("fedbn", vault=f"{frozen_first}")
        shared = arrived(site)
        if frozen_first:
            work.train_frozen(site, ORDER, shared)
        released, _ = work.train([site], replace(ORDER, round=4), shared)
        trained.append({n for n, t in released.tensors.items() if not torch.equal(t, shared[n])})
    assert trained[0] == trained[1] != set()


def test_the_frozen_action_answers_with_reports_and_no_tensor(open_tiny, tiny, tmp_path) -> None:
    site = open_tiny("consilium")
    order = replace(NEWCOMER, method="consilium", folder=str(tmp_path), code=code_digest())
    (tmp_path / "config.toml").touch()
    content = pack_order(order, pack_groups({n: t.numpy() for n, t in arrived(site).items()}))
    grid = InlineGrid(client_app, tiny(methods="consilium", rounds=9), 1)
    [reply] = grid.send_and_receive([Message(content, FIRST_SITE_NODE, "train.frozen")])
    assert not reply.has_error() and not reply.content.array_records
    [report] = read_reports(reply.content, "train.frozen", ["phantom-1"])
    assert report.split == "train" and report.metrics.keys() >= {"seconds", "loss", "images_seen"}
