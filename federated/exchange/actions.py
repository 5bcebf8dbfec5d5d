"""What the server asks of sites: the one list of message actions, read by all who name them."""

from collections.abc import Mapping
from enum import StrEnum


class Action(StrEnum):
    """A Flower message type: its kind, and for all but the plain ones a name after a dot."""

    REGISTER = "query.register"
    STATISTICS = "query.statistics"
    KEYS = "query.keys"
    SHARES = "query.shares"
    UNMASK = "query.unmask"
    TRAIN = "train"
    TRAIN_FROZEN = "train.frozen"
    EVALUATE = "evaluate"
    FINISH = "train.finish"

    @property
    def handler(self) -> str:
        """Return the name under which a ClientApp registers it, ``default`` for a plain one."""
        return self.partition(".")[2] or "default"


RELEASING = (Action.TRAIN, Action.KEYS, Action.SHARES, Action.UNMASK)
"""The actions of which tensors come back."""

DOING: Mapping[str, str] = {
    Action.REGISTER: "opening",
    Action.STATISTICS: "telling of its data",
    Action.KEYS: "making keys",
    Action.SHARES: "sharing keys",
    Action.UNMASK: "unmasking",
    Action.TRAIN: "training",
    Action.TRAIN_FROZEN: "training its own part",
    Action.EVALUATE: "evaluating",
    Action.FINISH: "last steps",
}
"""Action -> what a person sees that a site does."""
