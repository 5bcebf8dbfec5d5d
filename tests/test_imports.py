"""Importing without the collector leaves it as it was."""

import gc

import pytest

from federated.lazy import without_collector


def test_the_collector_is_off_while_importing_and_as_it_was_afterwards() -> None:
    assert gc.isenabled()
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_failing_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled()
