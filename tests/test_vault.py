"""Private state on disk: closed to others, whole or absent, damaged or foreign never read."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import clients.vault as vault_module
from clients.private_folder import VaultError, log_failure, private_folder
from clients.vault import Vault
from clients.vault_files import VERSIONS_KEPT, kept_name
from federated.engine import run
from federated.storage import (
    DamagedFileError,
    read_tensors,
    write_bytes,
    write_facts,
    write_tensors,
)
from server import checkpoint

WHOSE = {"site": "a", "method": "fedbn", "seed": 0}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_0700_and_files_0600(tmp_path: Path) -> None:
    vault = Vault(private_folder(tmp_path / "sites", "a", "fedbn"), WHOSE)
    vault.save(1, {"private/x": torch.ones(2)}, {})
    vault.write_model(kept_name(1), {"x": torch.ones(2)}, {}, "a,b\n")
    log_failure(vault.folder, "train")
    for folder in ("sites", "sites/a", "sites/a/fedbn"):
        assert mode(tmp_path / folder) == 0o700
    files = list(vault.folder.iterdir())
    assert len(files) == 6
    assert {mode(path) for path in files} == {0o600}


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    tensors = {"f": torch.randn(3, 2), "i": torch.tensor(7), "e": torch.empty(0, 4)}
    vault.save(3, tensors, {"note": "a"})
    found, facts, round = vault.load(before=4)
    assert (facts, round) == ({"note": "a", "round": 3, **WHOSE}, 3)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_the_state_before_a_round_survives_the_round(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    for round in (1, 2, 3, 4):
        vault.save(round, {"x": torch.tensor(round)}, {})
    assert vault.load(before=5)[0]["x"] == 4
    assert vault.load(before=4)[0]["x"] == 3
    assert len(list(tmp_path.glob("round-*.safetensors"))) == VERSIONS_KEPT


def test_a_new_site_starts_empty(tmp_path: Path) -> None:
    assert Vault(tmp_path, WHOSE).load(before=1) == ({}, {}, 0)
    assert Vault(tmp_path, WHOSE).kept_model(9) is None


def test_a_repeated_round_leaves_the_same_state(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    for round in (1, 2, 3):
        vault.save(round, {"x": torch.tensor(round)}, {})
    vault.save(3, {"x": torch.tensor(3)}, {})
    assert vault.load(before=3)[0]["x"] == 2


def spoil(path: Path, how: str) -> None:
    """Damage a file as disks and people do."""
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    elif how == "cut":
        content = content[:-9]
    elif how == "empty":
        content = bytearray()
    elif how == "NULs":
        content = bytearray(len(content))
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("half", ["safetensors", "json"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "NULs"])
def test_damage_is_found(tmp_path: Path, how: str, half: str) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.randn(100)}, {"round": 3, "note": "of some length"})
    spoil(path.with_suffix(f".{half}"), how)
    with pytest.raises(DamagedFileError, match="damaged"):
        read_tensors(path)
    vault = Vault(tmp_path, WHOSE)
    vault.save(4, {"x": torch.randn(100)}, {})
    spoil(tmp_path / f"round-000004.{half}", how)
    with pytest.raises(VaultError, match="damaged"):
        vault.load(before=5)


def test_facts_are_under_the_digest_too(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.ones(2)}, {"score": 0.7})
    manifest = path.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace("0.7", "0.9"))
    with pytest.raises(DamagedFileError):
        read_tensors(path)


@pytest.mark.parametrize("part", WHOSE)
def test_a_vault_of_another_is_refused_by_name(tmp_path: Path, part: str) -> None:
    Vault(tmp_path, WHOSE).save(1, {"x": torch.ones(2)}, {})
    with pytest.raises(VaultError, match=f"is of {part} "):
        Vault(tmp_path, {**WHOSE, part: "other"}).load(before=2)


def test_never_begun_gone_and_old_differ(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    assert vault.load(before=1, after=0) == ({}, {}, 0)
    with pytest.raises(VaultError, match="ends with round 0, and the federation went on from"):
        vault.load(before=4, after=3)
    for round in (1, 2):
        vault.save(round, {"x": torch.tensor(round)}, {})
    with pytest.raises(VaultError, match=r"ends with round 2, and .* from round 3"):
        vault.load(before=4, after=3)
    assert vault.load(before=3, after=2)[2] == 2


def test_links_are_not_followed_and_open_folders_are_closed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = private_folder(tmp_path / "sites")
    (root / "a").symlink_to(elsewhere)
    with pytest.raises(VaultError, match="is a link"):
        private_folder(root, "a", "fedbn")
    assert not list(elsewhere.iterdir())
    (root / "b").mkdir()
    (root / "b").chmod(0o755)
    private_folder(root, "b", "fedbn")
    assert mode(root / "b") == 0o700
    (root / "b" / "site.log").symlink_to(elsewhere / "log")
    with pytest.raises(OSError):
        log_failure(root / "b", "train")
    assert not list(elsewhere.iterdir())


def test_a_repeated_round_repeats_its_choice(tmp_path: Path) -> None:
    """The kept model is a fact of the version: round 2's is not seen by a repetition of round 2."""
    vault = Vault(tmp_path, WHOSE)
    for round, score in ((1, 0.6), (2, 0.9)):
        vault.write_model(kept_name(round), {"x": torch.tensor(round)}, {"round": round}, "")
        vault.save(round, {}, {"kept": {"round": round, "score": score}})
    assert vault.load(before=2)[1]["kept"] == {"round": 1, "score": 0.6}
    before, now = vault.kept_model(2), vault.kept_model(3)
    assert before is not None and int(before[0]["x"]) == 1
    assert now is not None and int(now[0]["x"]) == 2
    for round in (3, 4):
        vault.save(round, {}, {"kept": {"round": 2, "score": 0.9}})
    assert sorted(path.name for path in tmp_path.glob("kept-*")) == [
        "kept-000002.csv",
        "kept-000002.json",
        "kept-000002.safetensors",
    ]


@pytest.mark.parametrize("keep_all", [False, True])
def test_models_that_no_version_names_are_written_over_or_removed(
    tmp_path: Path, keep_all: bool
) -> None:
    """A simulation keeps one of them for the next model to take, and the final one takes it."""
    vault = Vault(tmp_path, WHOSE, sync=False)

    def end_round(round: int, kept: int) -> None:
        facts = {"kept": {"round": kept}}
        vault.save(round, {"x": torch.tensor(round)}, facts, keep_all=keep_all)

    def kept() -> list[int]:
        return sorted(int(path.stem[-6:]) for path in tmp_path.glob("kept-*.csv"))

    for round in range(1, 7):
        vault.write_model(
            kept_name(round),
            {"x": torch.full((9 - round,), round)},
            {},
            "x" * (9 - round),
            keep_all=keep_all,
        )
        end_round(round, kept=round)
    # The versions 4, 5 and 6 name theirs; of the others model 3 is the spare.
    assert kept() == (list(range(1, 7)) if keep_all else [3, 4, 5, 6])
    for round in (7, 8):
        end_round(round, kept=6)
    assert kept() == (list(range(1, 7)) if keep_all else [5, 6])
    vault.write_model("final", {"x": torch.ones(2)}, {}, "a,b\n", keep_all=keep_all)
    assert kept() == (list(range(1, 7)) if keep_all else [6])
    found = vault.kept_model(9)
    assert found is not None and torch.equal(found[0]["x"], torch.full((3,), 6))
    final, _ = read_tensors(tmp_path / "final.safetensors")
    assert torch.equal(final["x"], torch.ones(2))
    assert (tmp_path / "predictions-final.csv").read_text() == "a,b\n"
    assert not list(tmp_path.glob(".*"))


def test_what_is_written_over_is_no_longer_and_no_shorter_than_what_is_written(
    tmp_path: Path,
) -> None:
    vault = Vault(tmp_path, WHOSE, sync=False)
    states = {
        round: {"x": torch.randn(length)} for round, length in enumerate((5, 90, 3, 40, 7), 1)
    }
    for round, state in states.items():
        vault.save(round, state, {"note": "n" * len(state["x"])})
        for before in range(max(1, round - VERSIONS_KEPT + 1), round + 1):
            found, facts, _ = vault.load(before + 1)
            assert torch.equal(found["x"], states[before]["x"])
            assert facts["note"] == "n" * len(states[before]["x"])
    assert len(list(tmp_path.iterdir())) == 2 * VERSIONS_KEPT


def test_tensors_that_share_memory_and_bfloat16_come_back(tmp_path: Path) -> None:
    tied = torch.randn(3)
    for dtype in (torch.float32, torch.bfloat16):
        tensors = {"a": tied.to(dtype), "t": torch.randn(2, 3).to(dtype).T}
        tensors["b"] = tensors["a"]
        write_tensors(tmp_path / "a.safetensors", tensors, {})
        found, _ = read_tensors(tmp_path / "a.safetensors")
        assert {name: tensor.dtype for name, tensor in found.items()} == dict.fromkeys("atb", dtype)
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_litter_of_a_crash_is_swept(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    vault.save(1, {"x": torch.tensor(1)}, {})
    for name in (".round-000002.json.77.tmp", ".round-000002.safetensors.next"):
        (tmp_path / name).write_bytes(b"private")
    (tmp_path / "kept-000002.safetensors").write_bytes(b"private")
    assert vault.load(before=2)[2] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "round-000001.json",
        "round-000001.safetensors",
    ]


def test_tensors_without_their_manifest_do_not_count(tmp_path: Path) -> None:
    """The JSON is written last: a crash between the two leaves the version before."""
    vault = Vault(tmp_path, WHOSE)
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


@contextmanager
def crash(step: int) -> Iterator[None]:
    """Interrupt the block at so manieth a sync or rename."""
    count = 0

    def counted(real):
        def call(*arguments):
            nonlocal count
            count += 1
            if count == step:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.fsync", counted(os.fsync))
        patch.setattr(Path, "replace", counted(Path.replace))
        yield


@pytest.mark.parametrize("step", range(1, 7))
def test_a_crash_at_any_step_of_an_overwrite_leaves_the_old_or_the_new(
    tmp_path: Path, step: int
) -> None:
    """Two files are synced and renamed, their folder synced, and the tensors moved into place."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.tensor(1)}, {"round": 1})
    with crash(step):
        write_tensors(path, {"x": torch.tensor(2)}, {"round": 2})
    tensors, facts = read_tensors(path)
    assert int(tensors["x"]) == facts["round"] == (1 if step <= 4 else 2)
    # A second crash at the same place must not take the only copy with it.
    before = facts["round"]
    with crash(step):
        write_tensors(path, {"x": torch.tensor(3)}, {"round": 3})
    tensors, facts = read_tensors(path)
    assert int(tensors["x"]) == facts["round"] in (before, 3)
    write_tensors(path, {"x": torch.tensor(4)}, {"round": 4})
    assert int(read_tensors(path)[0]["x"]) == 4


@pytest.mark.parametrize("step", range(1, 4))
def test_a_crash_at_any_step_of_new_facts_leaves_the_old_or_the_new(
    tmp_path: Path, step: int
) -> None:
    """The JSON is synced and renamed, and its folder synced; the tensors stay."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.tensor(1)}, {"kept": 1})
    with crash(step):
        write_facts(path, {"kept": 2})
    tensors, facts = read_tensors(path)
    assert (int(tensors["x"]), facts["kept"]) == (1, 1 if step <= 2 else 2)
    write_facts(path, {"kept": 3})
    assert read_tensors(path)[1] == {"kept": 3}


def test_new_facts_do_not_make_damage_whole(tmp_path: Path) -> None:
    vault = Vault(tmp_path, WHOSE)
    vault.save(4, {"x": torch.ones(100)}, {})
    vault.note(4, {"kept": {"round": 4}})
    tensors, facts, _ = vault.load(5)
    assert torch.equal(tensors["x"], torch.ones(100)) and facts["kept"] == {"round": 4}
    spoil(tmp_path / "round-000004.safetensors", "flip")
    with pytest.raises(VaultError, match="damaged"):
        vault.note(4, {"kept": {"round": 5}})
    with pytest.raises(VaultError):
        vault.note(5, {})


def test_a_version_is_synced_by_itself_or_by_whoever_counts_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])
    for sync in (False, True):
        folder = private_folder(tmp_path, str(sync))
        vault = Vault(folder, WHOSE, sync=sync)
        vault.save(1, {"x": torch.ones(2)}, {})
        vault.write_model("final", {"x": torch.ones(2)}, {}, "a,b\n")
        assert bool(synced) == sync
        assert vault.load(2)[2] == 1


def test_no_checkpoint_is_written_before_what_the_sites_wrote_is_on_the_disk(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeds: list[str] = []

    def noting(module: object, name: str, deed: str) -> None:
        real = getattr(module, name)

        def noted(*arguments: object, **named: object) -> object:
            path = arguments[0]
            assert isinstance(path, Path)
            if path.name != "shared.safetensors":  # no round goes on from it
                deeds.append(deed)
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, noted)

    noting(vault_module, "write_tensors", "site")
    noting(vault_module, "write_facts", "site")
    noting(checkpoint, "write_tensors", "checkpoint")
    noting(checkpoint, "sync_disk", "sync")
    run(tiny(methods="consilium", rounds=2))
    assert deeds.count("site") > 8 and deeds.count("checkpoint") >= 3
    for place, deed in enumerate(deeds):
        if deed == "checkpoint":
            before = [d for d in deeds[:place] if d != "checkpoint"]
            assert not before or before[-1] == "sync"
