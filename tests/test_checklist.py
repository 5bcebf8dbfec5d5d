"""The checklists hold what the run knows, and leave the rest to the author."""

from pathlib import Path

from test_compare import made_run
from test_plots import full_rows, write_run

from federated.commands.main import main
from federated.config.training import Personalise
from federated.report.checklist import BLANK, _updating, facts_of, write_checklist
from federated.report.checklists import CLAIM, GUIDELINES
from federated.statistics.hospitals import over_hospitals
from federated.statistics.images import scored


def test_every_fact_that_an_item_asks_for_is_told_and_every_told_one_asked_for(
    tmp_path: Path,
) -> None:
    asked = {item.fact for items in GUIDELINES.values() for item in items if item.fact}
    assert asked == set(facts_of(made_run(tmp_path / "run")))
    # Without predictions there is no performance to tell, and nothing else is missing.
    bare = write_run(tmp_path / "bare", full_rows())
    untold = {"performance", "intervals", "heterogeneity"}
    assert asked - {name for name, fact in facts_of(bare).items() if fact} == untold


def test_claim_has_its_forty_two_items() -> None:
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 43)]


def test_the_command_fills_in_numbers_and_marks_blanks(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    assert main(["checklist", str(run.folder)]) == 0
    path, filled, total = write_checklist(run)
    lines = path.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and "| item |" not in line]
    assert len(rows) == total == sum(map(len, GUIDELINES.values()))
    assert sum(BLANK in row for row in rows) == total - filled
    local = over_hospitals(scored([run])).set_index("method").loc["local"]
    assert f"local: mean AUC {local['mean']:.3f}, worst {local['worst']:.3f}" in path.read_text()
    assert "2 hospitals: alder, birch" in path.read_text()


def test_what_a_hospital_does_alone_is_told_in_its_order() -> None:
    assert _updating(Personalise()) == "None."
    both = _updating(Personalise(share=0.25, epochs=3))
    assert both == "Each hospital: the last 25% of the rounds alone, then 3 epochs of its own."
