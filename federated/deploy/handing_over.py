"""What a node starts as ``flwr-clientapp``: hand the words over to the process that forks.

Run as a script without site-packages, with a socket's path and Flower's own program, which takes
over if nobody listens. It imports nothing that takes time.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Hand over, or be Flower's own program."""
    path, program, *words = sys.argv[1:]
    if not handed_over(path, words):
        os.execv(program, [program, *words])


def handed_over(path: str, words: list[str]) -> bool:
    """Return whether a process was forked for these words."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(json.dumps(words).encode())
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1) == b"+"
    except OSError:
        return False


if __name__ == "__main__":
    main()
