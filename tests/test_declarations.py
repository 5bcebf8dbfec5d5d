"""Every plot, answer and question is declared once; what is forgotten is an error, no fallback."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from federated import answers, plots, questions
from federated.commands.questions import _OPTIONS
from federated.errors import UserError
from federated.plots.plot import Plot
from federated.report.gallery import declared, plot_in
from federated.report.markup import picture, section

SHARED = {
    "answers": {"answer", "sooner"},
    "questions": {"alternatives", "finding", "hospital_tables", "trials"},
}


@pytest.mark.parametrize("name", answers.MEANINGS)
def test_every_answer_has_numbers_text_figures_and_words(name: str) -> None:
    answer = answers.answer_named(name)
    assert answer.name == name and answer.tables and answer.figures and answer.nothing
    assert all(table.title and table.note for table in answer.tables)
    assert all(figure.is_of_rollout for figure in answer.figures)


@pytest.mark.parametrize("name", questions.MEANINGS)
def test_every_question_can_be_asked_by_a_command(name: str) -> None:
    assert callable(questions.question_named(name)) and name in _OPTIONS


@pytest.mark.parametrize(("room", "names"), [(answers, answers.MEANINGS), (questions, _OPTIONS)])
def test_no_file_of_a_room_is_forgotten(room: object, names: dict[str, object]) -> None:
    folder = Path(str(room.__file__)).parent  # type: ignore[attr-defined]
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"} - SHARED[folder.name]
    assert files == {name.replace("-", "_") for name in names}


def test_no_two_figures_share_a_file_and_each_is_found_by_its_name() -> None:
    figures = list(declared())
    assert max(Counter(figure.file for figure in figures).values()) == 1
    for figure in figures:
        assert plot_in(f"{figure.file}-fedbn" if figure.is_by_method else figure.file) == figure
    assert "batch norms" in plot_in("bn-drift-mine-and-yours").caption


def test_every_figure_of_a_run_that_the_room_offers_is_declared() -> None:
    offered = {getattr(plots, name) for name in plots.__all__ if name.islower()}
    beside = {plots.bn_distances, plots.embedding_map, plots.save}
    assert offered - beside == {plot.draw for plot in plots.PLOTS}


@pytest.mark.parametrize(("file", "caption"), [("new", ""), ("new", "  "), ("", "What is new.")])
def test_a_figure_without_a_caption_cannot_be_declared(file: str, caption: str) -> None:
    with pytest.raises(ValueError, match="needs the name of a file and a caption"):
        Plot(file, caption, lambda run: Figure())


@pytest.mark.parametrize("name", ["bn-drift", "tulip", "convergence-fedbn"])
def test_a_name_of_no_figure_is_refused_and_gets_no_other_s_caption(
    name: str,
) -> None:
    with pytest.raises(UserError, match=f"'{name}' is the name of no figure; there are conv"):
        plot_in(name)


def test_a_sentence_of_a_table_is_no_name_that_is_cut_off() -> None:
    told = "With consilium phantom-1 reached its target 14 weeks sooner."
    page = section("In words", pd.DataFrame({"hospital by hospital": [told]}), "the same")
    assert f"<td>{told}</td>" in page and 'scope="row"' not in page
    named = pd.DataFrame({"site": ["alder"], "method": ["fedavg"]})
    assert '<th scope="row">alder</th><td>fedavg</td>' in section("Named", named, "two")


@pytest.mark.parametrize(("inches", "is_narrow"), [(plots.SINGLE, True), (plots.DOUBLE, False)])
def test_a_figure_of_one_column_is_not_blown_up_to_the_page(inches: float, is_narrow: bool) -> None:
    figure = Figure(figsize=(inches, 1))
    assert ('class="plot narrow"' in picture(figure, figure, "What is drawn.", "new")) == is_narrow
