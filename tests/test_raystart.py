"""Starting Ray touches its inside in one place, for as long as it starts."""

import pytest
from ray._private.node import Node

from federated.engine.ray.start import ONLOOKERS, _without_onlookers


def test_onlookers_are_methods_of_this_ray_and_come_back() -> None:
    before = {name: vars(Node)[name] for name in ONLOOKERS}
    with pytest.raises(ConnectionError), _without_onlookers():
        assert all(vars(Node)[name] is not before[name] for name in ONLOOKERS)
        assert Node.start_monitor(None) is None
        raise ConnectionError
    assert {name: vars(Node)[name] for name in ONLOOKERS} == before
