"""A run that has grown by seeds and methods is the one that had them from the start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from test_laws import MEASURED

from federated.commands.display import Display
from federated.commands.main import main
from federated.config.given import parse_toml
from federated.config.study import parse
from federated.config.writing import to_toml
from federated.engine import run
from federated.engine.threads import planned
from federated.errors import UserError
from federated.runs.reading import Run, load

ALL = {"rounds": 2, "methods": "local,fedbn,consilium", "seeds": "0,1"}
KEY = ["method", "seed", "round", "site", "split", "model", "metric"]


class StoppedError(Exception):
    """Raised by a listener."""


def told(ended: Run) -> pd.DataFrame:
    rows = ended.metrics[~ended.metrics.metric.isin(MEASURED)]
    return rows.sort_values(KEY, ignore_index=True)


@pytest.fixture
def grown(tiny: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of a run of two methods and one seed that has ended."""
    given = tiny("grown", **{**ALL, "methods": "local,fedbn", "seeds": "0"})
    run(given)
    return given


def test_what_is_added_has_the_bits_of_a_whole_run(tiny: Any, grown: dict[str, Any]) -> None:
    folder = Path(grown["folder"])
    before = told(load(folder))
    assert main(["resume", str(folder), "seeds=0,1", "--no-report", "--quiet"]) == 0
    assert load(folder).study.common.seeds == (0, 1)

    def stop(event: Any) -> None:
        if event["kind"] == "round-ended":
            raise StoppedError

    with pytest.raises(StoppedError):
        run(tiny("grown", **ALL), stop)
    assert not load(folder).has_ended  # though it had, before it grew
    display = Display(parse(ALL), tuple(load(folder).sites))
    found, whole = run(tiny("grown", **ALL), display.take), run(tiny("whole", **ALL))
    console = Console(width=120)
    with console.capture() as shown:
        console.print(display)
    assert "18/18" in shown.get()  # what had ended before counts as done: six cells of two rounds
    assert found.has_ended and len(before) < len(told(found))
    pd.testing.assert_frame_equal(told(found), told(whole), check_exact=True)
    kept = told(found).query("seed == 0 and method != 'consilium'").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_exact=True, check_categorical=False)


def test_local_that_is_added_is_no_choice_of_those_before_it(tiny: Any) -> None:
    """As in a run that lists it last: they have ended without it."""
    last = {"rounds": 2, "seeds": "0", "methods": "fedbn,local"}
    run(tiny("grown", **{**last, "methods": "fedbn"}))
    found, whole = run(tiny("grown", **last)), run(tiny("whole", **last))
    pd.testing.assert_frame_equal(told(found), told(whole), check_exact=True)
    assert "own" not in set(found.metrics.query("method == 'fedbn'")["model"])


def test_a_crash_between_both_files_of_a_grown_run_loses_nothing(
    tiny: Any, grown: dict[str, Any]
) -> None:
    more = tiny("grown", **ALL)
    study = planned(parse(more), Path(grown["folder"]))
    load(grown["folder"]).files.config.write_text(to_toml(study))
    assert run(more).has_ended
    with pytest.raises(UserError, match=r"methods was \[.*'consilium'\] and is now \['local', 'fe"):
        run(grown)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": "fedbn,local"}, r"methods was \['local', 'fedbn'\] and is now .* the end of"),
        ({"seeds": "1,0"}, r"seeds was \[0\] and is now \[1, 0\]\. Methods and seeds can be"),
        ({"rounds": 3}, r"rounds was 2 and is now 3"),
    ],
)
def test_what_was_there_stays(
    tiny: Any, grown: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    folder = load(grown["folder"]).files
    before = parse_toml(folder.config.read_text(), "it"), folder.lineage.read_text()
    with pytest.raises(UserError, match=sentence):
        run(tiny("grown", **{**ALL, **change}))
    assert before == (parse_toml(folder.config.read_text(), "it"), folder.lineage.read_text())


def test_a_method_is_added_with_the_file_that_began_the_run(
    tmp_path: Path, tiny: Any, grown: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which says what it has in common with the others, as here the learning rate."""
    words = ["resume", grown["folder"], "methods=local,fedbn,silobn", "--no-report", "--quiet"]
    assert main(words) == 2
    assert "name it: consilium resume" in capsys.readouterr().err
    path = tmp_path / "study.toml"
    path.write_text('methods = ["local", "fedbn"]\n')
    settings = tiny("grown", **{**ALL, "methods": "local,fedbn,silobn", "seeds": "0"})
    given = [f"{key}={value}" for key, value in settings.items() if key != "folder"]
    assert main(["resume", grown["folder"], str(path), *given, "--no-report", "--quiet"]) == 0
    of = load(grown["folder"]).study.by_method
    assert of["silobn"].rounds == 2 and of["silobn"].train == of["fedbn"].train
