"""A cache that is full, read-only, another user's, or filled by two processes at once."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from test_data_sources import write_sars_cov_2

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data import entry
from federated.errors import UserError

resource = pytest.importorskip("resource", reason="limits on file sizes are POSIX")


@pytest.fixture
def config(tmp_path):
    folder = write_sars_cov_2(tmp_path / "sars")
    settings = Data(sars_cov_2=str(folder), cache=str(tmp_path / "cache"), image_size=32)
    return Config(data=settings, phantom=Phantom(sites=0))


@pytest.mark.parametrize("room", [0, 1000, 20_000, 30_000])
def test_a_full_disk_ends_in_a_sentence_and_leaves_nothing(config, tmp_path, room):
    """A limit on the size of files stands for the disk: both make a write fail half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(UserError, match=r"the cache cannot be written .*free space or set"):
            data.prepare(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(data.load_site(config, "sars-cov-2").train) > 0


def test_a_cache_that_became_read_only_serves_what_it_has(config, tmp_path, monkeypatch):
    data.prepare(config)

    def refuse(*arguments: object, **more: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert len(data.load_site(config, "sars-cov-2").train) > 0
    other = replace(config, data=replace(config.data, image_size=40))
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
        data.load_site(other, "sars-cov-2")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o775])
def test_entries_are_open_to_whom_the_cache_is_open_to(config, tmp_path, mode):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    folder = data.prepare(config)[0].folder
    assert stat.S_IMODE(folder.stat().st_mode) == mode
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {mode & 0o666}


def test_a_cache_that_we_make_is_its_users_alone(config, tmp_path):
    folder = data.prepare(config)[0].folder
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_another_users_entry_is_no_damage(config, monkeypatch):
    folder = data.prepare(config)[0].folder

    def locked(*arguments: object, **more: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", locked)
    for read in (entry.skipped_files, lambda place: entry.load_training(place, "A")):
        with pytest.raises(UserError, match="is another user's and cannot be read; have them"):
            read(folder)


@pytest.mark.parametrize("name", ["images.npy", "training.json", "skipped.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damage_is_named_with_its_remedy(config, name, damage):
    path = data.prepare(config)[0].folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="the cache entry is damaged; delete this folder"):
        data.load_site(config, "sars-cov-2")


def test_two_processes_at_once_make_one_entry(config, tmp_path):
    code = (
        "import sys; from federated.data import prepare\n"
        "from federated.config.images import Data, Phantom\n"
        "from federated.config.schema import Config\n"
        "data = Data(sars_cov_2=sys.argv[1], cache=sys.argv[2], image_size=32)\n"
        "(one,) = prepare(Config(data=data, phantom=Phantom(sites=0))); print(one.folder.name)"
    )
    words = [sys.executable, "-c", code, config.data.sars_cov_2, config.data.cache]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    names = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert names == {path.name for path in (tmp_path / "cache").iterdir()} and len(names) == 1


def test_a_user_without_a_home(config, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody(*arguments: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(Path, "expanduser", nobody)
    homeless = replace(config, data=replace(config.data, cache="", sars_cov_2=""))
    with pytest.raises(UserError, match=r"no home folder for the cache; set data\.cache"):
        data.load_site(replace(homeless, phantom=Phantom(sites=1)), "phantom-1")
    with pytest.raises(UserError, match=r"data\.folder = '~x/y': there is no such home folder"):
        data.site_names(replace(config, data=Data(folder="~x/y")))
