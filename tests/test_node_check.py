"""``consilium node check``: each thing that is wrong is found and named, and nothing else is."""

import shlex
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from PIL import Image

from federated.commands import node, node_link, node_places
from federated.commands.findings import GOOD, SLOW, WRONG, Finding
from federated.commands.main import main
from federated.deploy import credentials
from federated.deploy.credentials import make_certificates, make_node_key
from federated.deploy.local import node_config
from federated.errors import UserError
from federated.exchange.fingerprint import code_digest
from federated.exchange.policy import Policy
from federated.exchange.policy_file import policy_text


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def states(looked: Iterator[Finding]) -> list[str]:
    return [one.state for one in looked]


def the_wrong(looked: Iterator[Finding]) -> str:
    (wrong,) = [one for one in looked if one.state == WRONG]
    return wrong.found


@contextmanager
def listening(folder: Path | None) -> Iterator[int]:
    """Yield the port of a server with the folder's certificate, or of one without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                if folder is None:
                    connection.sendall(b"220 mail.example\r\n")
                    connection.recv(1)
                    return
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(folder / "server.crt", folder / "server.key")
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return  # the client refused the certificate

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


@pytest.fixture
def hospital(tmp_path: Path) -> dict[str, str]:
    """Return a node-config with which everything is right: key, certificates, vault, images."""
    make_certificates(tmp_path)
    make_node_key(tmp_path / "key")
    vault = tmp_path / "vault"
    vault.mkdir(mode=0o700)
    (vault / "policy.toml").write_text(policy_text(Policy(4, 11, 0, frozenset(), "", ())))
    rows, rng = ["path,label,site,patient,split"], np.random.default_rng(0)
    for i, split in enumerate(("train", "train", "val", "test")):
        for label in ("COVID", "non-COVID"):
            name = f"{label}-{i}.png"
            pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
            rows.append(f"{name},{label},north,{label}-{i},{split}")
    (tmp_path / "images.csv").write_text("\n".join(rows))
    return {
        "site": "north",
        "vault": str(vault),
        "data.manifest": str(tmp_path / "images.csv"),
        "data.cache": str(tmp_path / "cache"),
    }


def test_a_node_with_which_nothing_is_wrong_may_join(
    tmp_path: Path, hospital: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(tmp_path) as port:
        words = f"node check --superlink 127.0.0.1:{port} --root-certificates {tmp_path}/ca.crt "
        words += f"--auth-supernode-private-key {tmp_path}/key --code {code_digest()}"
        status = main([*shlex.split(words), "--node-config", node_config(hospital)])
    out = capsys.readouterr().out
    assert status == 0, out
    assert "\n0 wrong" in out
    for text in ("train: 2 images of class 0, 2 of class 1", "val: 1 images of class 0, 1 of"):
        assert text in out


def test_what_is_wrong_gives_status_1_and_words_that_cannot_be_read_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["node", "check", "--superlink", "127.0.0.1:1", "--auth-supernode-private-key"]
    words += [str(tmp_path / "none"), "--node-config"]
    assert main([*words, "site='north'"]) == 1
    out = capsys.readouterr().out
    assert all(f"wrong  {what}" in out for what in ("key", "SuperLink", "vault", "data"))
    assert main([*words, "site=north"]) == 2
    assert main([*words, "north"]) == 2
    assert main([*words, "site='north'", "--code", "v1.2"]) == 2
    assert main([*words[:3], "https://server", *words[4:], "site='north'"]) == 2


def test_a_node_config_may_be_a_file_as_flower_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('site = "north"\n[data]\nfolder = "/srv/ct"\n')
    assert node.node_config_of(str(path)) == {"site": "north", "data.folder": "/srv/ct"}
    path.write_text("site = north")
    for unreadable in (path, tmp_path / "none.toml"):
        with pytest.raises(UserError, match="cannot be read"):
            node.node_config_of(str(unreadable))


def test_the_code_is_the_servers_by_its_digest_or_the_beginning_that_doctor_prints() -> None:
    assert states(node.code(code_digest())) == states(node.code(code_digest()[:12])) == [GOOD]
    assert states(node.code(None)) == [SLOW]
    assert "0" * 12 in the_wrong(node.code("0" * 64))


def test_a_key_is_of_flowers_kind_closed_and_the_one_that_was_registered(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert "ssh-keygen" in the_wrong(node_link.key(path))
    make_node_key(path)
    assert states(node_link.key(path)) == [GOOD]
    path.chmod(0o640)
    assert "chmod 600" in the_wrong(node_link.key(path))
    path.chmod(0o600)
    make_node_key(tmp_path / "other")
    (tmp_path / "other.pub").replace(tmp_path / "key.pub")
    assert "does not belong" in the_wrong(node_link.key(path))
    (tmp_path / "key.pub").unlink()
    assert states(node_link.key(path)) == [SLOW]
    forms = serialization.PrivateFormat
    for own, form, why in (
        (ed25519.Ed25519PrivateKey.generate(), forms.OpenSSH, "ECDSA"),
        (ec.generate_private_key(credentials.CURVE), forms.PKCS8, "OpenSSH"),
    ):
        pem, secret = serialization.Encoding.PEM, serialization.NoEncryption()
        path.write_bytes(own.private_bytes(pem, form, secret))
        assert why in the_wrong(node_link.key(path))


def test_the_certificate_is_of_the_authority_for_the_host_and_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: tmp_path / name for name in ("good", "other", "elsewhere", "soon", "ended")}
    for place in places.values():
        place.mkdir()
    make_certificates(places["good"])
    make_certificates(places["other"])
    make_certificates(places["elsewhere"], ("server.example",))
    for name, days in (("soon", 3), ("ended", -0.01)):
        monkeypatch.setattr(credentials, "LIFETIME", timedelta(days=days))
        make_certificates(places[name])

    def link(server: Path | None, authority: Path) -> list[Finding]:
        with listening(server) as port:
            return list(node_link.link(f"127.0.0.1:{port}", authority))

    good = places["good"] / "ca.crt"
    assert states(iter(link(places["good"], good))) == [GOOD] * 3
    assert "authority that signed" in the_wrong(iter(link(places["other"], good)))
    where = places["elsewhere"]
    assert "--superlink" in the_wrong(iter(link(where, where / "ca.crt")))
    assert "no TLS" in the_wrong(iter(link(None, good)))
    assert states(iter(link(places["soon"], places["soon"] / "ca.crt"))) == [SLOW, GOOD, SLOW]
    assert "ended on" in the_wrong(node_link.link("127.0.0.1:1", places["ended"] / "ca.crt"))
    assert "PEM" in the_wrong(node_link.link("127.0.0.1:1", places["good"] / "server.key"))


def test_a_proxy_is_asked_for_the_superlink_and_never_for_the_node_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    looked = list(node_link.link("server.example:443", tmp_path / "ca.crt"))
    assert [one.what for one in looked if one.state == WRONG] == ["proxy", "SuperLink"]
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with listening(tmp_path) as port:
        assert states(node_link.link(f"127.0.0.1:{port}", tmp_path / "ca.crt")) == [GOOD] * 3


@pytest.mark.parametrize("address", ["server", "https://server:1", "server:0", "server:65536", ""])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"):
        list(node_link.link(address, None))


def test_a_port_of_this_machine_is_free_or_said_to_be_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        [taken] = node_link.port(number)
    assert taken.state == SLOW and "or give --port" in taken.found
    assert states(node_link.port(number)) == [GOOD]
    for none in (0, 65536):
        assert "is none" in the_wrong(node_link.port(none))


def test_a_vault_is_the_nodes_own_closed_and_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = tmp_path / "vault"
    own = {"vault": str(vault)}
    assert "install -d -m 700" in the_wrong(node_places.vault(own))
    vault.mkdir(mode=0o755)
    assert "chmod 700" in the_wrong(node_places.vault(own))
    vault.chmod(0o700)
    assert the_wrong(node_places.vault({"vault": "vault"})).startswith("vault is not a whole path")
    (tmp_path / "link").symlink_to(vault)
    assert "link" in the_wrong(node_places.vault({"vault": str(tmp_path / "link")}))
    assert "no vault" in the_wrong(node_places.vault({}))
    for free, state in ((1e8, WRONG), (2e9, SLOW), (1e10, GOOD)):
        usage = node_places.shutil._ntuple_diskusage(10**11, 0, int(free))
        monkeypatch.setattr(node_places.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert states(node_places.vault(own)) == [state]
    assert not list(vault.iterdir())


def test_a_policy_is_there_whole_of_this_code_and_the_hospitals_own(tmp_path: Path) -> None:
    path, own = tmp_path / "policy.toml", {"vault": str(tmp_path)}
    assert "consilium policy" in the_wrong(node_places.policy(own))
    path.write_text("digits = 4")
    assert "[tensors]" in the_wrong(node_places.policy(own))
    path.write_text(policy_text(Policy(4, 11, 0, frozenset(), "f" * 64, ())))
    assert "only the code ffffffffffff" in the_wrong(node_places.policy(own))
    path.write_text(policy_text(Policy(4, 11, 0, frozenset(), code_digest(), ())))
    assert states(node_places.policy(own)) == [GOOD]
    path.chmod(0o666)
    assert "chmod go-w" in the_wrong(node_places.policy(own))


def test_images_are_named_readable_and_of_both_classes(hospital: dict[str, str]) -> None:
    assert states(node_places.data(hospital)) == [GOOD] * 3
    table = Path(hospital["data.manifest"])
    table.write_text(table.read_text().replace("COVID-2,val", "COVID-2,train", 1))
    assert the_wrong(node_places.data(hospital)).startswith("val: 1 images of class 0, 0 of")
    (table.parent / "COVID-3.png").write_bytes(b"no picture")
    assert "COVID-3.png" in the_wrong(node_places.data(hospital))
    assert "names no images" in the_wrong(node_places.data({"site": "north"}))
    assert "whole path" in the_wrong(node_places.data({**hospital, "data.folder": "ct"}))
    assert "data.manifst" in the_wrong(node_places.data({**hospital, "data.manifst": "/ct"}))


def test_a_name_that_is_a_path_is_none() -> None:
    assert states(node_places.site({"site": "north"})) == [GOOD]
    assert "without /" in the_wrong(node_places.site({"site": "../north"}))
    assert "no site" in the_wrong(node_places.site({}))
