"""Private state on disk: closed to others, whole or absent, damaged never read."""

import os
import stat
from pathlib import Path

import pytest
import torch

from clients.vault import VERSIONS_KEPT, Vault, log_failure
from federated.storage import DamagedFileError, read_tensors, write_bytes, write_tensors


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_0700_and_files_0600(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "sites" / "a" / "fedbn")
    vault.save(1, {"private/x": torch.ones(2)}, {})
    vault.keep_model("kept", {"x": torch.ones(2)}, {})
    vault.write_predictions("predictions", "a,b\n")
    log_failure(vault.folder, "train")
    for folder in ("sites", "sites/a", "sites/a/fedbn"):
        assert mode(tmp_path / folder) == 0o700
    files = list(vault.folder.iterdir())
    assert len(files) == 6
    assert {mode(path) for path in files} == {0o600}


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    tensors = {"f": torch.randn(3, 2), "i": torch.tensor(7), "e": torch.empty(0, 4)}
    vault.save(3, tensors, {"note": "a"})
    found, facts, round = vault.load(before=4)
    assert (facts, round) == ({"note": "a"}, 3)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_the_state_before_a_round_survives_the_round(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    for round in (1, 2, 3, 4):
        vault.save(round, {"x": torch.tensor(round)}, {})
    assert vault.load(before=5)[0]["x"] == 4
    assert vault.load(before=4)[0]["x"] == 3
    assert len(list(tmp_path.glob("round-*.safetensors"))) == VERSIONS_KEPT


def test_a_new_site_starts_empty(tmp_path: Path) -> None:
    assert Vault(tmp_path).load(before=1) == ({}, {}, 0)
    assert Vault(tmp_path).model("kept") is None


def test_a_repeated_round_leaves_the_same_state(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    for round in (1, 2, 3):
        vault.save(round, {"x": torch.tensor(round)}, {})
    vault.save(3, {"x": torch.tensor(3)}, {})
    assert vault.load(before=3)[0]["x"] == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.randn(100)}, {})
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    cut = {"flip": bytes(content), "cut": path.read_bytes()[:-9], "empty": b""}
    path.write_bytes(cut[damage])
    with pytest.raises(DamagedFileError, match="SHA-256"):
        read_tensors(path)


def test_tensors_without_their_manifest_do_not_count(tmp_path: Path) -> None:
    """The JSON is written last: a crash between the two leaves the version before."""
    vault = Vault(tmp_path)
    vault.save(1, {"x": torch.tensor(1)}, {})
    vault.save(2, {"x": torch.tensor(2)}, {})
    (tmp_path / "round-000002.json").unlink()
    assert vault.load(before=3)[2] == 1


def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_log_holds_the_traceback(tmp_path: Path) -> None:
    try:
        raise RuntimeError("/data/patient-7.png is torn")
    except RuntimeError:
        log_failure(tmp_path, "train fedbn round 3")
    text = (tmp_path / "site.log").read_text()
    assert "train fedbn round 3" in text and "patient-7.png" in text and "Traceback" in text


@pytest.mark.parametrize("step", range(1, 7))
def test_a_crash_at_any_step_of_an_overwrite_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Two files are synced and renamed, their folder synced, and the tensors moved into place."""
    vault = Vault(tmp_path)
    vault.keep_model("kept", {"x": torch.tensor(1)}, {"round": 1})
    count = [0]

    def counted(real):
        def call(*arguments):
            count[0] += 1
            if count[0] == step:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    monkeypatch.setattr("os.fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    with pytest.raises(KeyboardInterrupt):
        vault.keep_model("kept", {"x": torch.tensor(2)}, {"round": 2})
    monkeypatch.undo()
    found = vault.model("kept")
    assert found is not None
    assert int(found[0]["x"]) == found[1]["round"] == (1 if step <= 4 else 2)
    vault.keep_model("kept", {"x": torch.tensor(3)}, {"round": 3})
    again = vault.model("kept")
    assert again is not None and int(again[0]["x"]) == 3
