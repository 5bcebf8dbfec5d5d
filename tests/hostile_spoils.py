"""Ways to spoil a site's reply."""

from collections.abc import Callable

import numpy as np
from flwr.app import Array, Error, Message

W = np.arange(12, dtype=np.float32).reshape(3, 4)

Spoil = Callable[[Message], Message | None]
"""Changes a reply in place, or returns another in its stead."""


def npy(header: str, body: bytes = W.tobytes(), version: bytes = b"\x01\x00") -> Array:
    """Return an array whose ``.npy`` has this header."""
    text = header.encode()
    length = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return Array("float32", (3, 4), "numpy.ndarray", b"\x93NUMPY" + version + length + text + body)


def header(descr: str = "'<f4'", fortran: str = "False", shape: str = "(3, 4)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def raw(data: bytes) -> Array:
    return Array("float32", (3, 4), "numpy.ndarray", data)


def put(array: Array | np.ndarray, name: str = "w") -> Spoil:
    """Return what replaces a tensor of the release, or adds one."""

    def spoil(reply: Message) -> None:
        record = reply.content.array_records["weights"]
        record[name] = array if isinstance(array, Array) else Array(array)

    return spoil


def drop(key: str, name: str = "") -> Spoil:
    def spoil(reply: Message) -> None:
        if name:
            del reply.content[key][name]
        else:
            del reply.content[key]

    return spoil


def add(key: str, record: object) -> Spoil:
    def spoil(reply: Message) -> None:
        reply.content[key] = record  # type: ignore[assignment]

    return spoil


def number(key: str, name: str, value: object) -> Spoil:
    def spoil(reply: Message) -> None:
        reply.content[key][name] = value  # type: ignore[index,assignment,call-overload]

    return spoil


def renamed(old: str, new: str) -> Spoil:
    def spoil(reply: Message) -> None:
        reply.content[new] = reply.content.pop(old)

    return spoil


def emptied(reply: Message) -> None:
    reply.content.clear()


def failed(code: int, reason: str) -> Spoil:
    """Return what makes an error of a reply."""

    def spoil(reply: Message) -> Message:
        error = Message(Error(code, reason), reply_to=reply)
        error.__dict__["_metadata"] = reply.metadata
        return error

    return spoil


def metadata(name: str, value: object) -> Spoil:
    def spoil(reply: Message) -> None:
        reply.metadata.__dict__[name] = value

    return spoil


def with_value(value: float) -> np.ndarray:
    spoilt = W.copy()
    spoilt[1, 1] = value
    return spoilt
