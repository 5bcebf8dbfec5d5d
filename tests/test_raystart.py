"""Starting Ray touches its inside in one place, for as long as it starts."""

import signal

import pytest
from ray._private import ray_constants
from ray._private.node import Node
from ray._private.services import get_node_ip_address
from ray._raylet import AuthenticationMode, get_authentication_mode

from federated.engine.ray import own, start


def test_onlookers_are_methods_of_this_ray_and_come_back() -> None:
    before = {name: vars(Node)[name] for name in own.ONLOOKERS}
    with pytest.raises(ConnectionError), own._without_onlookers():
        assert all(vars(Node)[name] is not before[name] for name in own.ONLOOKERS)
        assert Node.start_monitor(None) is None
        raise ConnectionError
    assert {name: vars(Node)[name] for name in own.ONLOOKERS} == before


def test_this_machine_is_the_loopback_for_as_long_as_ray_starts() -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with own._on_loopback():
        assert get_node_ip_address() in ("127.0.0.1", "::1")
    assert before == ray_constants.ENABLE_RAY_CLUSTER


def test_ray_reads_a_token_also_after_it_was_imported() -> None:
    with own.environment("RAY_AUTH_MODE", "token"):
        own.read_token()
        assert get_authentication_mode() == AuthenticationMode.TOKEN
    own.read_token()
    assert get_authentication_mode() == AuthenticationMode.DISABLED


def test_signals_are_what_they_were_after_native_code_took_them() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with own._signals_kept():
            assert signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            own.ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, 1)  # SIG_IGN, behind Python's back
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        signal.raise_signal(signal.SIGTERM)
        own.ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, 1)
        start._restore_handler()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * 2
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
