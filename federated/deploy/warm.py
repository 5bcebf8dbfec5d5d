"""A node that need not import everything anew for every message: what it starts is forked.

Flower's node starts the program ``flwr-clientapp`` for a message, by name. A folder of ours at the
front of its PATH has one of that name, which hands over to the process of ``forking.py``.
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from federated.storage import PRIVATE_FOLDER, write_bytes

HERE = Path(__file__).parent
PROGRAM = "flwr-clientapp"


def warmed(variables: Mapping[str, str], program: Path) -> dict[str, str]:
    """Start what forks for this process, which is or becomes a node, and return its environment.

    Args:
        variables: The environment of a node.
        program: Flower's own ``flwr-clientapp``.
    """
    node = str(os.getpid())
    # The name of a socket must be short, and a program must not lie where none may be run.
    sockets = tempfile.mkdtemp(prefix="consilium-")
    programs = Path(variables["FLWR_HOME"]) / "programs" / node
    programs.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    handing = [sys.executable, "-I", "-S", str(HERE / "handing_over.py")]
    words = shlex.join([*handing, f"{sockets}/messages", str(program)])
    write_bytes(programs / PROGRAM, f'#!/bin/sh\nexec {words} "$@"\n'.encode())
    (programs / PROGRAM).chmod(PRIVATE_FOLDER)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{sockets}/messages")
        listener.listen()
        own = listener.fileno()
        forking = [sys.executable, "-P", str(HERE / "forking.py"), str(own), node, sockets]
        subprocess.Popen(
            [*forking, str(programs)],
            stdin=subprocess.DEVNULL,
            env=dict(variables),
            pass_fds=(own,),
        )
    return {**variables, "PATH": f"{programs}{os.pathsep}{variables['PATH']}"}
