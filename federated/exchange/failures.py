"""Why a site has no good reply, as fixed codes and sentences.

No text of an exception is sent: it may name a patient's file. No text of a site is shown: it may
say anything, to a terminal too. So both sides know the same table, and only codes travel.
"""

from collections.abc import Mapping
from types import MappingProxyType

FAILED, DIVERGED, OTHER_CODE, NOT_ANSWERED, CRASHED = 1001, 1002, 1003, 1004, 1005
BAD_ORDER, BAD_WEIGHTS, NOT_HERE, NO_VAULT, BAD_VAULT, NO_SPACE = 1006, 1007, 1008, 1009, 1010, 1011
NODE_CONFIG, EGRESS, POLICY = 1012, 1013, 1014

REASONS: Mapping[int, str] = MappingProxyType(
    {
        FAILED: "it failed; its own log says why",
        DIVERGED: "its training diverged: the loss was not finite",
        OTHER_CODE: "its code is not the server's; install the same version on both sides",
        NOT_ANSWERED: "it did not answer in time, or its worker died",
        CRASHED: "it crashed outside its own error handling",
        BAD_ORDER: "it refused an order that is malformed; its own log says why",
        BAD_WEIGHTS: "it refused tensors that are not those of its network, or are not finite",
        NOT_HERE: "it refused an order about a site, method, seed or round that it does not have",
        NO_VAULT: "it has no vault, and the run's folder is not on its machine; start its node "
        "with --node-config 'vault=\"FOLDER\"'",
        BAD_VAULT: "its vault does not go on from where the federation is: it is damaged, deleted, "
        "older, or of another run; its own log says which",
        NO_SPACE: "it could not write to its vault: its disk is full, over quota or read-only",
        NODE_CONFIG: "its node-config does not fit the run: its site's name has a separator, or it "
        "does not say where the run's data or files are on its machine, such as --node-config "
        "'data.folder=\"FOLDER\"'; its own log says which",
        EGRESS: "its egress gate held a reply back that must not leave it; its own log says what",
        POLICY: "its policy is missing, or allows less than the run asks for; its own log says "
        "which; write one at the site: consilium policy CONFIG --to FILE, and start its node with "
        "--node-config 'policy=\"FILE\"'",
        # Flower's own.
        0: "it failed in Flower",
        1: "its ClientApp could not be loaded",
        2: "its ClientApp failed",
        3: "its message was lost on the way",
        4: "its reply was lost on the way",
        5: "its node is not connected",
        6: "a mod of its ClientApp refused",
        7: "its app bundle is invalid",
        8: "its ClientApp crashed",
    }
)


def reason_of(code: int) -> str:
    """Return the sentence of a code that came back."""
    return REASONS.get(code, "it failed with a code that is unknown here")
