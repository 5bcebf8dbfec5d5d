"""One type says what lies where in a run's folder; a real run puts nothing elsewhere."""

import subprocess
import sys
from pathlib import Path

from conftest import RunTiny

from federated.runs.folder import RunFolder, SitesFolder, claimed
from federated.runs.vaults import predictions_file


def test_every_path_of_a_run_by_hand() -> None:
    files = RunFolder(Path("here"))
    assert files.cell("fedbn", 3) == Path("here/fedbn/seed-3")
    assert files.vault("mercy", "fedbn", 3) == Path("here/sites/mercy/fedbn/seed-3")
    assert files.site_log("mercy") == Path("here/sites/mercy/site.log")
    assert predictions_file(files.cell("a", 0), "final") == Path(
        "here/a/seed-0/predictions-final.csv"
    )
    assert SitesFolder(Path("own")).vault("mercy", "fedbn", 3) == Path("own/mercy/fedbn/seed-3")


def test_a_run_writes_what_is_named_and_nothing_else(run_tiny: RunTiny) -> None:
    run = run_tiny(methods="local,fedbn", rounds=1, **{"rollout.image-seconds": 60})
    files = run.files
    named = (
        files.config,
        files.lineage,
        files.lock,
        files.environment,
        files.metrics,
        files.events,
        files.timeline,
        files.received,
    )
    assert all(path.stat().st_size > 0 for path in named)
    cells = {files.cell(method, 0).parent for method in ("local", "fedbn")}
    assert set(run.folder.iterdir()) <= {*named, *cells, files.sites.path}
    vaults = files.sites.vaults("fedbn", 0)
    assert list(vaults) == ["phantom-1", "phantom-2", "phantom-3"]
    for site, vault in vaults.items():
        assert vault == files.vault(site, "fedbn", 0)
        assert predictions_file(vault, "kept").exists()
        assert len(run.predictions(site, "fedbn", 0)) > 0


def test_the_layout_is_light_to_import() -> None:
    code = (
        "import sys, federated.runs.folder, federated.runs.columns\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'flwr', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_unnamed_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    named = tmp_path / "runs" / "demo-20260101-000000"
    folders = [claimed(named) for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "demo-20260101-000000",
        "demo-20260101-000000-2",
        "demo-20260101-000000-3",
    ]
    assert all(folder.is_dir() and not any(folder.iterdir()) for folder in folders)
