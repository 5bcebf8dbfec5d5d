"""Attacks on a finished run: laws of their parts, controls that must succeed, and bad input."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, RunTiny
from torch import Tensor, nn
from torch.nn import functional as F

from federated import engine
from federated.audit.attacked import attacked_updates, candidates_of
from federated.audit.auditing import Audit, audited
from federated.audit.finding import (
    AS_IS,
    INCONCLUSIVE,
    NOT_SHOWN,
    SUCCEEDS,
    Case,
    Number,
    above,
    clopper_pearson,
)
from federated.audit.guessing import Guess
from federated.audit.inverting import entries_of, inverted
from federated.audit.likeness import nearest, psnr, ssim
from federated.audit.matching import Seen, given_away, reconstructed
from federated.audit.membership import Shadows, confidence, overfitted, pool_of
from federated.audit.page import write_audit
from federated.audit.recognition import NAME as RECOGNISE
from federated.audit.recognition import compared
from federated.audit.sizes import Sizes
from federated.audit.subject import Subject, subject_of
from federated.audit.updating import batches_of, norms_with_statistics, update_of
from federated.audit.visible import KINDS, best, never_weaker
from federated.commands.main import main
from federated.errors import UserError
from federated.learning.evaluation import outputs
from federated.learning.memory import unit
from federated.learning.normalising import normalise
from federated.runs.reading import load
from federated.statistics.interval import Interval

SMALL = Sizes(
    updates=2,
    candidates=8,
    search=2,
    members=40,
    shadows=4,
    shadow_steps=10,
    overfitted=12,
    overfitting=120,
    prevalences=4,
    round_steps=2,
)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Subject:
    folder = tmp_path_factory.mktemp("audited") / "run"
    more = {"methods": "consilium", "rounds": 1, "phantom.patients": 24, "train.max-steps": 4}
    engine.run({**TINY, **more, "folder": str(folder), "data.cache": str(data_cache)})
    return subject_of(load(folder), method="consilium", seed=0, site="phantom-1")


class Linear(nn.Module):
    """Logits of an image's pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


def test_the_gradient_of_a_linear_model_is_its_image() -> None:
    """Phong et al., IEEE TIFS 13(5), 2018: dL/dW = (p - y) x^T and dL/db = p - y."""
    torch.manual_seed(0)
    x, labels = torch.randn(3, 1, 3, 6, 6), torch.tensor([[0], [1], [1]])
    gradients, statistics = given_away(Linear(), ["linear.weight", "linear.bias"], by_batch=True)(
        x, labels
    )
    rows = gradients["linear.weight"] / gradients["linear.bias"][..., None]
    torch.testing.assert_close(rows, x.view(3, 1, -1).expand(-1, 2, -1))
    assert statistics == []


def test_the_search_finds_the_image_of_a_linear_model() -> None:
    torch.manual_seed(0)
    model, labels = Linear(), torch.tensor([[1], [0]])
    truth = torch.linspace(0.1, 0.9, 36).view(1, 1, 6, 6).repeat(2, 1, 1, 1)
    truth[1] = truth[1].flip(-1)

    def inputs(greys: Tensor) -> Tensor:
        return greys[:, :, None].expand(-1, -1, 3, -1, -1)

    change, _ = given_away(model, ["linear.weight", "linear.bias"], by_batch=False)(
        inputs(truth), labels
    )
    seen = Seen(model, False, change, [], labels)
    found = reconstructed(seen, torch.full_like(truth, 0.5), inputs, 200)
    assert float(psnr(found[:, 0], truth[:, 0]).min()) > 25


class Pixels(nn.Module):
    """An embedding that holds every pixel, and a 1 that tells their scale."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.cat([x[:, 0].flatten(1), torch.ones(len(x), 1)], dim=1)
        return z[:, :2], z


def test_the_search_finds_the_image_of_an_embedding_that_holds_it() -> None:
    truth = torch.linspace(0.1, 0.9, 36).view(1, 6, 6).repeat(2, 1, 1)
    truth[1] = truth[1].flip(-1)
    entries = unit(Pixels()(normalise(truth * 255))[1])
    found = inverted(Pixels(), entries, torch.full_like(truth, 0.5), 300)
    assert float(psnr(found, truth).min()) > 25


def test_entries_are_of_images_in_the_memory_and_of_each_image_the_newest(
    subject: Subject,
) -> None:
    memory, entries = subject.memory(), entries_of(subject, SMALL)
    assert memory is not None and entries is not None
    inputs = subject.inputs(subject.data.train)
    greys = entries.gallery[: SMALL.updates]
    for embedding, x, grey in zip(entries.embeddings, entries.inputs, greys, strict=True):
        [image] = [k for k, other in enumerate(inputs) if torch.equal(x, other)]
        newest = max(place for place, of in enumerate(memory.ids.tolist()) if of == image)
        assert torch.equal(embedding, memory.embeddings[newest])
        assert torch.equal(grey, subject.greys(x[None])[0])
    assert len(entries.gallery) == SMALL.candidates and len(entries.embeddings) == SMALL.updates


def test_lanes_know_nothing_of_each_other(subject: Subject) -> None:
    x, labels = subject.inputs(subject.data.train)[:6], subject.images(subject.data.train).labels
    network = subject.network(subject.last)
    names = [n for n, _ in network.named_parameters() if n.startswith("classifier")]
    give = given_away(network, names, by_batch=True)
    both, _ = give(x.view(2, 3, *x.shape[1:]), labels[:6].view(2, 3))
    alone, _ = give(x[None, 3:], labels[None, 3:6])
    reference = network.train()
    F.cross_entropy(outputs(reference, x[3:])[0], labels[3:6]).backward()
    for name in names:
        torch.testing.assert_close(both[name][1], alone[name][0])
        torch.testing.assert_close(
            alone[name][0], reference.get_parameter(name).grad, rtol=1e-3, atol=1e-5
        )


def test_one_step_gives_away_gradient_and_statistics_exactly(subject: Subject) -> None:
    split = subject.data.train
    x, labels = subject.inputs(split)[:4], subject.images(split).labels[:4]
    update = update_of(subject, batches_of(x, labels, 1), as_run=False)
    [(path, _), *_] = norms_with_statistics(network := subject.network(subject.last).train())
    given_to_norm = []
    network.get_submodule(path).register_forward_pre_hook(
        lambda _, given: given_to_norm.append(given[0])
    )
    network(x)
    variance, mean = torch.var_mean(given_to_norm[0].transpose(0, 1).flatten(1), dim=1)
    torch.testing.assert_close(update.statistics[0][0], mean, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(update.statistics[0][1], variance, rtol=1e-3, atol=1e-5)


def test_who_knows_the_whole_network_picks_each_image_of_a_single_gradient(
    subject: Subject,
) -> None:
    images = candidates_of(subject, replace(SMALL, candidates=16))
    control, *_ = attacked_updates(subject, images, SMALL)
    [found] = compared(subject, images, [control], subject.network(subject.last), by_batch=False)
    scores = found.scores(frozenset({"weights", "parameters"}))
    assert scores.argmax(dim=1).tolist() == control.sets[:, 0].tolist()


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1), (1, 20, 0.0013, 0.2487)],
)
def test_clopper_and_pearson_as_published(hits: int, count: int, low: float, high: float) -> None:
    """The table of Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions."""
    found = clopper_pearson(hits, count)
    assert found.value == hits / count
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


PARTS = [frozenset(c) for n in range(1, 4) for c in combinations(KINDS, n)]


def test_who_sees_more_gets_no_less() -> None:
    for values in np.random.default_rng(0).random((50, len(PARTS))).tolist():
        scores = dict(zip(PARTS, values, strict=True))
        assert never_weaker(scores)
        assert best(scores, frozenset(KINDS)) == max(values)
        assert best(scores, PARTS[0]) == values[0]


def test_rates_at_few_false_alarms_by_hand() -> None:
    others = np.arange(100.0)  # at 1 % one of them may lie above the threshold, which is 98
    members = np.array([98.0, 98.5, 99.5, 200.0, 1.0])
    area, one, tenth = Guess(members, others).numbers
    assert area.interval.value == pytest.approx((98.5 + 99 + 100 + 100 + 1.5) / 500)
    assert one.interval.value == 3 / 5
    assert "not resolvable with 100 others" in tenth.text and math.isnan(tenth.interval.value)
    assert "not resolvable" in Guess(members, others[:99]).numbers[1].text


def test_guesses_without_information_stand_out_as_rarely_as_they_may() -> None:
    """Of 200 draws at a level of 2.5 %, more than 13 have a probability below 0.1 %."""
    rng = np.random.default_rng(0)
    assert sum(Guess(*rng.normal(size=(2, 150))).stands_out for _ in range(200)) <= 13


def test_likeness_by_hand() -> None:
    dark, light = torch.full((1, 16, 16), 0.2), torch.full((1, 16, 16), 0.3)
    assert float(psnr(dark, light)) == pytest.approx(20, abs=1e-4)
    means = (2 * 0.2 * 0.3 + 1e-4) / (0.2**2 + 0.3**2 + 1e-4)
    assert float(ssim(dark, light)) == pytest.approx(means, rel=1e-3)
    noise = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(noise, noise), torch.ones(5))
    assert nearest(noise[[3, 1]] * 0.5 + 0.2, noise).tolist() == [3, 1]


def test_more_than_chance_is_asked_of_each_attack_that_was_tried() -> None:
    assert above(3, 8, 1 / 32, 1) and not above(1, 8, 1 / 32, 1)
    assert above(2, 8, 1 / 32, 1) is (1 - (31 / 32) ** 8 - 8 / 32 * (31 / 32) ** 7 < 0.025)
    assert not above(3, 8, 1 / 32, 100)


def test_membership_is_told_of_an_overfitted_model_and_of_no_untrained_one(
    subject: Subject,
) -> None:
    pool = pool_of(subject, SMALL)
    shadows = Shadows(subject, pool, SMALL)
    network, inside = overfitted(subject, pool, SMALL)
    scores = confidence(network, pool)
    for each in (scores, shadows.ratio(scores)):
        assert Guess(each[inside], each[~inside]).stands_out
    untrained = confidence(subject.fresh(), pool)
    for each in (untrained, shadows.ratio(untrained)):
        assert not Guess(each[inside], each[~inside]).stands_out


def case(*, succeeded: bool, control: bool, why: str = "") -> Case:
    return Case(RECOGNISE, "a", AS_IS, "b", (), (), (), succeeded, control, why)


def test_nothing_is_said_where_the_control_fails() -> None:
    assert case(succeeded=True, control=True).verdict == SUCCEEDS
    assert case(succeeded=False, control=True).verdict == NOT_SHOWN
    for succeeded in (True, False):
        assert case(succeeded=succeeded, control=False).verdict == INCONCLUSIVE
        assert case(succeeded=succeeded, control=True, why="x").verdict == INCONCLUSIVE


def test_a_verdict_is_told_with_its_size() -> None:
    got = Number("mean error of the share", Interval(0.031, 0.007, 0.055), 12)
    guess = Number("error of a guess", Interval(0.222, 0.1, 0.3), 12)
    told = Case("Q?", "a step", AS_IS, "b", (got,), (), (guess,), True, True)
    assert told.size.startswith("mean error of the share: 0.031 [0.007, 0.055]")
    assert told.size.endswith("; a guess: 0.222") and told.size in told.sentence
    rate = Number("TPR at 1 % FPR", Interval(0.04, 0.02, 0.06), 425)
    both = replace(told, got=(got, rate, replace(rate, note="too few")))
    assert both.size == f"{told.size}; {rate.text}"
    assert case(succeeded=True, control=True).size == ""


def test_an_audit_repeats_itself_and_shows_images_of_phantoms_alone(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = audited(subject, SMALL), audited(subject, SMALL)
    pages = [write_audit(one, tmp_path / str(n)) for n, one in enumerate((first, again))]
    assert pages[0][1].read_bytes() == pages[1][1].read_bytes()
    told = pages[0][0].read_text(encoding="utf-8")
    assert "<img" in told and "no verdict says that anything is safe" in told
    assert all(case.verdict in told for case in first.cases)
    monkeypatch.setattr(Subject, "is_phantom", property(lambda self: False))
    page, _ = write_audit(first, tmp_path / "patients")
    told = page.read_text(encoding="utf-8")
    assert "<img" not in told and "Images of patients are not shown" in told


def test_the_command_writes_page_and_table(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(whom: Subject, sizes: Sizes, report: Callable[[str], None]) -> Audit:
        return Audit(whom, sizes, [case(succeeded=False, control=True)], None)

    monkeypatch.setattr("federated.audit.auditing.audited", none)
    assert main(["audit", str(subject.run.folder), "--quick"]) == 0
    assert f"1 × {NOT_SHOWN}" in capsys.readouterr().out
    folder = subject.run.folder / "answers" / "audit-consilium-phantom-1"
    assert {path.name for path in folder.iterdir()} == {"audit.html", "audit.csv"}


def test_what_cannot_be_audited_gets_one_sentence(
    run_tiny: RunTiny, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = run_tiny(methods="local,fedbn", rounds=1)

    def refused(*words: str) -> str:
        assert main(["audit", str(run.folder), *words]) == 2
        told = capsys.readouterr().err
        assert told.startswith("consilium: ") and len(told.splitlines()) == 1
        return told

    assert "sends no update" in refused("--method", "local")
    assert "no site phantom-9" in refused("--site", "phantom-9")
    events = run.files.events.read_text(encoding="utf-8")
    run.files.events.write_text(events.replace("run-ended", "run-begun"), encoding="utf-8")
    assert "has not ended" in refused()
    run.files.events.write_text(events, encoding="utf-8")
    run.files.sites.path.rename(tmp_path / "elsewhere")
    assert "holds no vaults of fedbn" in refused()
    with pytest.raises(UserError):
        subject_of(replace(run, folder=run.folder), method="fedbn", seed=7, site="phantom-1")
