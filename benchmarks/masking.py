"""What secure aggregation costs: CPU seconds and bytes of a round, at 3, 10 and 100 sites.

    python benchmarks/masking.py [PARAMETERS]

One site's work and the server's are done for real, those of the other sites are not: they take as
long. Beside them stands what a plain round does instead: fixed-point integers and their sum.
"""

import os
import sys
import time

import torch

from federated.exchange.exact import Accumulator
from federated.exchange.masked import integers_of, sum_of, threshold_of
from federated.exchange.sharing import Release
from federated.masks.keys import Pair, agreed, opened, public_of, sealed
from federated.masks.masking import inverse, own_mask, pair_masks
from federated.masks.shares import SHARE_BYTES, joined, split, weights


def seconds(work) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def main(parameters: int) -> None:
    release = Release({"weights/w": torch.randn(parameters)})
    plain = seconds(lambda: Accumulator().include({"w": release.tensors["weights/w"].numpy()}, 100))
    print(
        f"{parameters:,} weights; a plain round: {plain:.4f} s and {4 * parameters:,} bytes a site"
    )
    print("sites  a site, s  server, s  server with a tenth lost, s  bytes up  bytes down")
    for count in (3, 10, 100):
        print(*measured(release, count, parameters), sep="  ")


def measured(release: Release, count: int, parameters: int) -> tuple[object, ...]:
    names = [f"site-{k:03d}" for k in range(count)]
    private = {n: os.urandom(32) for n in names}
    public = {n: public_of(key) for n, key in private.items()}
    least = threshold_of(count)

    def site() -> None:
        me = names[0]
        secrets = [os.urandom(32), os.urandom(32)]
        shares = [split(secret, count, least) for secret in secrets]
        key = agreed(private[me], public[me])
        for k, peer in enumerate(names):
            own = agreed(private[me], public[peer])
            sealed(shares[0][k] + shares[1][k], Pair("s", me, peer), own)
        arrays = integers_of(release, 100, 100 * count)
        own_mask(secrets[0], "s", me).apply(arrays)
        for mask in pair_masks(private[me], me, {n: public[n] for n in names[1:]}, "s"):
            mask.apply(arrays)
        text = sealed(bytes(66), Pair("s", me, me), key)
        for _ in names:
            opened(text, Pair("s", me, me), key)

    arrays = integers_of(release, 100, 100 * count)

    def server(lost: int) -> None:
        total = Accumulator()
        for _ in range(count - lost):
            total.absorb(sum_of(arrays, 100))
        parts = {f"{n}/{k}": p[k] for n, p in total.total().parts.items() for k in (0, 1)}
        shares = dict(enumerate(split(private[names[0]], count, least)[:least], 1))
        counts = weights(list(shares))
        for n in names[lost:]:
            [mask] = inverse([own_mask(joined(shares, counts), "s", n)])
            mask.apply(parts)
        for n in names[:lost]:
            for mask in pair_masks(private[n], n, {p: public[p] for p in names[lost:]}, "s"):
                mask.apply(parts)

    up = 16 * (parameters + 1) + 64 + count * (2 * SHARE_BYTES + 16 + SHARE_BYTES)
    down = 4 * parameters + count * (64 + 2 * SHARE_BYTES + 16)
    times = seconds(site), seconds(lambda: server(0)), seconds(lambda: server(max(1, count // 10)))
    return (count, *(f"{t:.4f}" for t in times), f"{up:,}", f"{down:,}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 110_466)
