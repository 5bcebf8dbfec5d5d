"""The manifest: round trips, and a sentence with the row for every mistake."""

import string
from pathlib import PurePosixPath

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federated.data.names import key_of
from federated.data.sources import manifest, usermanifest
from federated.errors import UserError

TEXT = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ,;'\"{}"), min_size=1
).map(lambda text: text + "x")
SITE = st.text(string.ascii_letters + string.digits, min_size=1)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(
    rows=st.lists(
        st.tuples(
            TEXT,
            SITE,
            TEXT,
            st.integers(0, 1),
            st.sampled_from(["train", "val", "test"]),
            st.text("0123456789abcdef", min_size=64, max_size=64),
            st.integers(1, 10**6),
            st.integers(1, 10**6),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: (row[0], row[1]),
    )
)
def test_round_trip(tmp_path, suffix, rows):
    frame = pd.DataFrame(rows, columns=list(manifest.MANIFEST_COLUMNS))
    manifest.write_manifest(frame, tmp_path / f"m{suffix}")
    found = manifest.read_manifest(tmp_path / f"m{suffix}")
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    assert [str(found[name].dtype) for name in manifest.NUMBERS] == ["int64"] * 3
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


OURS = ("path", "label", "site", "patient", "split")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(
    rows=st.lists(
        st.tuples(
            TEXT.filter(lambda text: PurePosixPath(text).as_posix() == text),
            st.sampled_from(["ill", "well"]),
            SITE,
            TEXT,
            st.sampled_from(["", "train", "val", "test"]),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: (row[0], row[2]),
        # Names that differ in case alone are refused, which is another test's.
    ).filter(lambda rows: len({key_of(row[2]) for row in rows}) == len({row[2] for row in rows})),
    names=st.lists(
        TEXT.filter(lambda name: name not in OURS and name != "group"),
        min_size=5,
        max_size=5,
        unique=True,
    ),
)
def test_user_manifest_round_trip_under_any_column_names(tmp_path, suffix, rows, names):
    frame = pd.DataFrame(rows, columns=names)
    path = tmp_path / f"u{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    labels = {"ill": 1, "well": 0}
    columns = dict(zip(OURS, names, strict=True))
    found, skipped = usermanifest.read_user_manifest(path, columns, labels)
    expected = [
        (path, site, labels[label], patient.strip(), split)
        for path, label, site, patient, split in rows
    ]
    assert skipped == ()
    order = ["path", "site", "label", "patient", "split"]
    assert [tuple(row) for row in found[order].to_numpy().tolist()] == expected


def user(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return usermanifest.read_user_manifest(path)[0]


def test_user_manifest(tmp_path):
    found = user(
        tmp_path,
        "site,path,label,extra,group,split\n"
        "A,a b/ä.png,COVID,1,p1,Train\nA,b.png,non-COVID,2,NA,validation\nB,c.png,1,3,,\n",
    )
    assert found["label"].tolist() == [1, 0, 1]
    assert found["patient"].tolist() == ["p1", "NA", ""]
    assert found["split"].tolist() == ["train", "val", ""]


def test_parquet_with_numbers_and_missing_values(tmp_path):
    frame = pd.DataFrame(
        {"path": ["a", "b"], "label": [1.0, 0.0], "site": [7, 7], "patient": ["p", None]}
    )
    frame.to_parquet(tmp_path / "m.parquet")
    found, _ = usermanifest.read_user_manifest(tmp_path / "m.parquet")
    assert found["label"].tolist() == [1, 0]
    assert found["patient"].tolist() == ["p", ""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\na,1\n", "no column 'site' among path, label; .* data.columns=.site=. if all"),
        ("paths,label,site\na,1,A\n", "no column 'path' .*did you mean 'paths'"),
        ("path,label,site\na,1,A\nb,maybe,A\n", "row 3 has the unknown label 'maybe'; use 1 or"),
        ("path,label,site\na,1,A\nb,1,A\na,1,A\n", "row 4 lists 'a' of site 'A' again; remove"),
        ("path,label,site,split\na,1,A,dev\n", "row 2 has the unknown split 'dev'; use train"),
        ("path,label,site\n,1,A\n", "row 2 has no usable path"),
        ("path,label,site\na,1,\n", "row 2 has the site ''; use letters"),
        ("path,label,site\na,1,../x\n", "row 2 has the site '../x'; use letters"),
        ("path,label,site\n", "lists no image; add"),
        ("", "cannot be read as a table"),
        ('path,label,site\n"a,1,A\n', "cannot be read as a table|unknown label|row 2"),
    ],
)
def test_mistakes(tmp_path, text, sentence):
    with pytest.raises(UserError, match=rf"mine\.csv: .*({sentence})"):
        user(tmp_path, text)


def test_files_that_are_no_manifest(tmp_path):
    with pytest.raises(UserError, match=r"there is no such manifest; correct data\.manifest"):
        usermanifest.read_user_manifest(tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"give a \.csv, \.tsv or \.parquet"):
        usermanifest.read_user_manifest(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot be read as a table"):
        usermanifest.read_user_manifest(tmp_path / "a.parquet")


def test_full_manifest_is_checked(tmp_path):
    row = ("a", "A", "p", 1, "train", "0" * 64, 9, 9)
    for column, bad in [("label", 2), ("split", "dev"), ("sha256", "xyz"), ("width", 0)]:
        frame = pd.DataFrame([row], columns=list(manifest.MANIFEST_COLUMNS))
        frame[column] = [bad]
        with pytest.raises(UserError, match=f"row 2 has {column} '{bad}'"):
            manifest.write_manifest(frame, tmp_path / "m.csv")
    assert list(tmp_path.iterdir()) == []
