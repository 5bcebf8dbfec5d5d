"""What a choice between methods may look at: validation images, kept models, paired by seed."""

from pathlib import Path

from federated.sweeps.choosing import validation_lines, validation_tables

AREAS = {("local", 0): 0.70, ("local", 1): 0.80, ("ditto", 0): 0.72, ("ditto", 1): 0.84}


def write(folder: Path, method: str, seed: int, area: float) -> None:
    cell = folder / "all" / f"{method}-seed-{seed}"
    cell.mkdir(parents=True)
    cell.joinpath("cell.toml").write_text(
        f'method = "{method}"\nbase = "{method}"\nseed = {seed}\nrun = "all"\n[grid]\n[settings]\n'
    )
    # Test images, other models and other metrics must have no part in a choice.
    cell.joinpath("metrics.csv").write_text(
        "site,split,model,metric,value,num_examples\n"
        f"a,val,kept,auc,{area},9\na,test,kept,auc,0.99,9\na,val,own,auc,0.98,9\n"
        "a,val,kept,f1,0.97,9\n"
    )


def test_differences_are_paired_by_seed_with_students_interval(tmp_path: Path) -> None:
    for (method, seed), area in AREAS.items():
        write(tmp_path, method, seed, area)
    table = validation_tables(tmp_path, "local")["all"]
    # Two seeds: differences 0.02 and 0.04, sd 0.0141, so 0.03 +- 12.706 * 0.0141 / sqrt(2) = 0.127.
    assert table.to_numpy().tolist() == [
        ["a", "local", "2", "0.750 ± 0.071", "–"],
        ["a", "ditto", "2", "0.780 ± 0.085", "+0.030 (-0.097 to +0.157)"],
    ]


def test_a_seed_that_the_reference_lacks_is_in_no_difference(tmp_path: Path) -> None:
    for (method, seed), area in AREAS.items():
        write(tmp_path, method, seed, area)
    write(tmp_path, "ditto", 2, 0.10)
    table = validation_tables(tmp_path, "local")["all"].set_index("method")
    assert table.loc["ditto", "seeds"] == "3"
    assert table.loc["ditto", "minus that of local"] == "+0.030 (-0.097 to +0.157)"


def test_one_seed_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    write(tmp_path, "local", 0, 0.70)
    write(tmp_path, "ditto", 0, 0.72)
    table = validation_tables(tmp_path, "local")["all"].set_index("method")
    assert table.loc["ditto", "minus that of local"] == "+0.020"


def test_without_the_reference_there_is_no_difference_and_no_word_of_one(tmp_path: Path) -> None:
    write(tmp_path, "ditto", 0, 0.72)
    text = "\n".join(validation_lines(tmp_path, "local"))
    assert "0.720" in text and "local" not in text and "difference" not in text
    write(tmp_path, "local", 0, 0.70)
    assert "difference to local" in "\n".join(validation_lines(tmp_path, "local"))
