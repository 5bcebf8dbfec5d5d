"""Which settings of ``privacy.*`` go together, and what no noise can hide."""

from federated.config.schema import Config
from federated.errors import UserError


def check_privacy(config: Config, method: str) -> None:
    """Refuse settings under which what is promised would not hold.

    Raises:
        UserError: one sentence on the first of them.
    """
    privacy = config.privacy
    if privacy.unit == "none" and (privacy.clip or privacy.noise):
        raise UserError(
            f"{method}: privacy.clip and privacy.noise do nothing without a unit; set privacy.unit "
            "= site or record."
        )
    if privacy.noise and not privacy.clip:
        raise UserError(
            f"{method}: privacy.noise is measured in privacy.clip, which is 0; set privacy.clip to "
            "the largest norm that an update, or an image's gradient, may have."
        )
    if privacy.where == "server" and privacy.unit != "site":
        raise UserError(
            f"{method}: privacy.where = server needs privacy.unit = site; the noise of DP-SGD is "
            "part of training, which the server has no hand in."
        )
    if privacy.where == "server" and config.rollout.policy != "wait":
        raise UserError(
            f"{method}: privacy.where = server needs rollout.policy = wait: late ones are applied "
            "to other weights, where their norm is not known. Choose privacy.where = site."
        )
    if privacy.unit != "none" and config.train.pooled:
        raise UserError(
            f"{method}: pooled training has all images in one place and hides none; set "
            "privacy.unit = none."
        )
    if privacy.unit == "record":
        _check_records(config, method)


def _check_records(config: Config, method: str) -> None:
    """Refuse what makes a step's gradient something else than a sum over its images."""
    train, objective = config.train, config.contrast.objective
    reasons = {
        f"contrast.objective = {objective} compares images": objective in ("nt-xent", "sup-con"),
        "train.class-weights are made of all labels together": train.class_weights,
        "train.sampling = balanced goes by the other labels": train.sampling == "balanced",
        "train.proximal-mu pulls the gradient of all at once": bool(train.proximal_mu),
        "the method brings code that may read images at will": bool(config.code),
        "personalise.share trains on after the federation": bool(config.personalise.share),
        "train.precision = bf16 rounds before clipping": train.precision == "bf16",
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise UserError(
                f"{method}: privacy.unit = record clips the gradient of each image by itself, and "
                f"{reason}; leave that out, or set privacy.unit = site."
            )
