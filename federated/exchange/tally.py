"""Good releases added up as they come, and every site's result."""

from dataclasses import replace

from flwr.app import Message

from federated.exchange.lengths import Accumulators, Sums, class_of
from federated.exchange.masked import sum_of
from federated.exchange.replies import Refusal, Reply, Result, read
from federated.exchange.request import Request
from federated.exchange.wire import BadReplyError


class Tally:
    """Results as messages come back; a release that is added up is not kept."""

    def __init__(self, request: Request) -> None:
        self.request = request
        heaviest = sum(request.images.values()) if request.by_examples else len(request.images)
        # A kept update may be moved by what the weights have moved by until it is used.
        self.sums = Accumulators(heaviest if request.summed else 4 * heaviest)
        self.results: list[Result] = []

    def take(self, sent: Message, back: Message) -> None:
        """Check a reply and add its release up; a bad one is left out, with the reason."""
        try:
            reply = read(self.request, sent, back)
            self.results.append(self._added(reply))
        except BadReplyError as error:
            self.results.append(Refusal(str(error)))

    def _added(self, reply: Reply) -> Reply:
        weight = reply.num_examples if self.request.by_examples else 1
        accumulator = self.sums.of(class_of(reply.length) if self.request.by_length else 0)
        try:
            if self.request.masked:
                accumulator.absorb(sum_of(reply.arrays, weight))
                return replace(reply, arrays={})
            if not self.request.summed:
                accumulator.check(reply.arrays, weight or 1)
                return reply
            accumulator.include(reply.arrays, weight)
        except ValueError as error:
            raise BadReplyError(str(error)) from error
        return replace(reply, arrays={})

    def total(self) -> Sums:
        """Return the sums of the good releases since the last call."""
        return self.sums.total()
