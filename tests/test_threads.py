"""How many threads a client gets by the plan of a run."""

from pathlib import Path

import pytest

from federated.config.study import parse
from federated.config.writing import study_from
from federated.engine.threads import planned, sites_at_a_time, threads_of
from federated.errors import UserError
from federated.processor import cores

LARGE = {"data.image-size": 224, "train.batch-size": 32, "phantom.sites": 2}


@pytest.fixture(autouse=True)
def _no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [
        ({}, 64, 32),  # two hospitals
        ({"phantom.sites": 1}, 16, 16),
        ({"phantom.sites": 1}, 128, 49),  # 32 x 224 x 224 pixels have work for 49
        ({"seeds": "0,1,2"}, 64, 10),  # 64 // 6
        ({"phantom.sites": 100}, 64, 1),
        ({"methods": "pooled,pooled-bn", "phantom.sites": 100}, 64, 32),
        ({"data.image-size": 32}, 64, 1),  # 32 x 32 x 32 pixels have work for one
        ({"methods": "local,fedbn"}, 3, 1),
    ],
)
def test_a_share_by_hand(given: dict[str, object], count: int, expected: int) -> None:
    study = parse({**LARGE, **given})
    assert threads_of(study, count) == expected
    assert expected * min(count, sites_at_a_time(study)) <= count
    for engine in ({"engine.kind": "inline"}, {"engine.workers": 1}, {"engine.workers": 5}):
        assert threads_of(parse({**LARGE, **given, **engine}), count) == expected


def test_who_sets_a_bound_has_it_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(parse(LARGE), 64) == 3
    assert planned(parse({**LARGE, "engine.threads": 7})).common.engine.threads == 7


def test_a_container_has_the_cores_that_it_pays_for(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    free = cores((tmp_path / "none",))
    for text, expected in (("max 100000", free), ("150000 100000", 1), ("50000 100000", 1)):
        quota.write_text(text)
        assert cores((quota,)) == expected
    quota.write_text(f"{(free + 5) * 100000} 100000")
    assert cores((quota,)) == free


def test_a_run_writes_its_threads_down_and_goes_on_with_them(
    run_tiny, tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federated.engine.threads.cores", lambda: 8)
    monkeypatch.setattr("federated.engine.threads.PIXELS_A_THREAD", 2**12)
    run = run_tiny(rounds=1, phantom__sites=2)
    assert run.study.common.engine.threads == 2  # 8 images of 32 x 32 pixels
    monkeypatch.setattr("federated.engine.threads.cores", lambda: 1)
    again = tiny(rounds=1, phantom__sites=2)
    assert planned(parse(again), run.folder).common.engine.threads == 2
    assert planned(parse(again)).common.engine.threads == 1
    run_tiny(rounds=1, phantom__sites=2)  # goes on with the run that is there
    with pytest.raises(UserError, match=r"engine\.threads was 2 and is now 1"):
        run_tiny(rounds=1, phantom__sites=2, engine__threads=1)


def test_a_node_of_its_own_trains_on_one_thread() -> None:
    assert study_from({"engine.threads": 0}).common.engine.threads == 1
