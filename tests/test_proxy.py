"""The proxy by path of docs/DEPLOY.md: hospitals come through it, and nobody starts a run by it."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_deploy import ROOT, SETTINGS, wait_until

from federated.commands.deploying import write_policy
from federated.config.study import parse
from federated.deploy import processes
from federated.deploy.local import LINK, Deployment, lay_out
from federated.deploy.submission import write_run_config
from federated.errors import UserError
from federated.runs.reading import load

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
SITE = "phantom-1"
STUDY = {**SETTINGS, "rounds": 1, "phantom.sites": 1}
AROUND = """{user}daemon off;
pid {place}/pid;
error_log {place}/error;
events {{}}
http {{
    access_log {place}/access;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
{server}}}
"""


def server_of_the_page(folder: Path, superlink: int, port: int) -> str:
    """Return the page's own `server` block, with the places and ports of a trial."""
    page = (ROOT / "docs/DEPLOY.md").read_text()
    [server] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "consilium.example.org": "localhost",
        "/etc/consilium/": f"{folder}/",
        "127.0.0.1:8000": f"127.0.0.1:{superlink}",
    }
    for old, new in changes.items():
        assert old in server
        server = server.replace(old, new)
    return str(server)


@contextmanager
def proxied(deployment: Deployment) -> Iterator[Path]:
    """Have the deployment's port be a proxy's, and yield the proxy's folder."""
    [port] = processes.free_ports(1)
    place = deployment.folder / "nginx"
    place.mkdir()
    server = server_of_the_page(deployment.folder, deployment.port, port)
    user = "" if os.geteuid() else "user root;\n"
    (place / "conf").write_text(AROUND.format(place=place, server=server, user=user))
    words = [str(NGINX), "-p", str(place), "-c", str(place / "conf")]
    proxy = processes.start(words, place / "log", os.environ, place)
    try:
        processes.await_listener(proxy, port, place / "log", 20.0)
        deployment.port = port
        yield place
    finally:
        processes.stop([proxy])


@pytest.mark.deploy
@pytest.mark.skipif(NGINX is None, reason="needs the web server nginx")
def test_a_hospital_trains_through_the_proxy_and_nobody_starts_a_run_by_it(tmp_path: Path) -> None:
    folder = tmp_path / "deployment"
    policy = write_policy(folder, parse(STUDY))
    own = {"data.cache": str(tmp_path / "cache"), "policy": str(policy)}
    direct = Deployment(folder, {SITE: own}, processes.free_ports(1)[0])
    lay_out(direct)
    try:
        direct.start_superlink()
        direct.register(SITE)
        superlink = direct.port
        with proxied(direct) as place:
            direct.start_node(SITE)
            lay_out(direct)  # whoever starts runs goes by the proxy too
            with pytest.raises(UserError, match="403"):
                direct.flwr("supernode", "list", LINK)
            direct.port = superlink
            lay_out(direct)
            wait_until(lambda: '"online"' in listed(direct), 60.0)
            config = write_run_config(folder, STUDY, [SITE])
            said = direct.flwr("run", ".", "--stream", "--run-config", str(config), cwd=ROOT)
            assert load(folder / "run").has_ended, said
            came = (place / "access").read_text()
        assert "POST /v1/fleet/" in came and "/v1/control/" in came
        assert not re.findall(r'/v1/(?!fleet/).*" 200 ', came)
    finally:
        direct.stop()


def listed(deployment: Deployment) -> str:
    return deployment.flwr("supernode", "list", LINK, "--format", "json")
