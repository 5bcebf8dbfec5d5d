"""A request to many sites."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flwr.app import ConfigRecord, Message

from federated.exchange.actions import RELEASING
from federated.exchange.masked import SESSION
from federated.exchange.sharing import WEIGHTS, Boundary
from federated.exchange.wire import Arrays, Groups, Order, pack_order, unpack_array

NOTHING = Boundary((), ())


@dataclass(frozen=True)
class Request:
    """What all sites of a round are asked alike; each gets an order of its own beside it.

    Attributes:
        action: Flower message type, ``train``, ``evaluate`` or ``train.finish``.
        sent: Groups of arrays to send along; none: nothing is sent.
        boundary: What sites may release.
        summed: Whether the releases are added up and none of them is kept.
        by_examples: Whether a site's weight in that sum is its number of training images, not 1.
        norm_limit: L2 norm above which an update is refused; 0: none is.
        by_length: Whether the releases are added up by how far they change the weights.
        images: Training images that each site of the run registered with; empty: not known.
        sites: Whom a reply may report on; empty: on the site that its order names.
        masked: Whether the releases are masked integers, which only their sum can be read of.
        beside: What each site is told of a round of masks; empty: there is none.
    """

    action: str
    sent: Groups
    boundary: Boundary
    summed: bool
    by_examples: bool
    norm_limit: float = 0.0
    by_length: bool = False
    images: Mapping[str, int] = field(default_factory=dict)
    sites: Collection[str] = ()
    masked: bool = False
    beside: Mapping[str, ConfigRecord] = field(default_factory=dict)

    @property
    def admitted(self) -> Boundary:
        """What may be in a reply: a release where one is asked for, else nothing."""
        return self.boundary if self.action in RELEASING else NOTHING

    @cached_property
    def weights(self) -> Arrays:
        """The weights that are sent, none where none are."""
        return {name: unpack_array(a) for name, a in self.sent.get(WEIGHTS, {}).items()}

    def message(self, node: int, order: Order) -> Message:
        """Return the message to a site; its group id is the site's name.

        Not the node: a node may host several sites.
        """
        content = pack_order(order, self.sent)
        if order.site in self.beside:
            content[SESSION] = self.beside[order.site]
        return Message(content, node, self.action, group_id=order.site)
