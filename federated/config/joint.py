"""Joint training, which is no federation: all images in one process, to compare with.

Each is an entry of ``METHODS``, as in ``federated.config.presets``.
"""

from collections.abc import Mapping
from types import MappingProxyType

from federated.config.method import Method, entry

JOINT: Mapping[str, Method] = MappingProxyType(
    {
        "pooled": entry(
            "no federation: the published loop in one process, per-site batch norm, contrast over "
            "sites",
            "Wang, Liu and Dou, IEEE J-BHI 2020, arXiv 2009.07652",
            sharing__policy="conv",
            contrast__objective="nt-xent",
            train__optimizer_state="keep",
            train__pooled=True,
        ),
        "pooled-bn": entry(
            "no federation: pooled without the contrast, the ceiling for FedBN",
            "Wang, Liu and Dou, IEEE J-BHI 2020, arXiv 2009.07652: joint training, per-site norm",
            sharing__policy="conv",
            train__optimizer_state="keep",
            train__pooled=True,
        ),
        "pooled-series-adapters": entry(
            "no federation: pooled-bn with per-site adapters behind the shared convolutions",
            "Rebuffi et al. 2017, arXiv 1705.08045, as compared in arXiv 2009.07652",
            sharing__policy="conv",
            model__adapters="series",
            train__optimizer_state="keep",
            train__pooled=True,
        ),
        "pooled-parallel-adapters": entry(
            "no federation: pooled-bn with per-site adapters beside the shared convolutions",
            "Rebuffi et al. 2018, arXiv 1803.10082, as compared in arXiv 2009.07652",
            sharing__policy="conv",
            model__adapters="parallel",
            train__optimizer_state="keep",
            train__pooled=True,
        ),
        "pooled-one-bn": entry(
            "no federation: joint training of one network with one batch norm for all sites",
            "Wang, Liu and Dou, IEEE J-BHI 2020, arXiv 2009.07652: joint training",
            sharing__policy="all",
            train__optimizer_state="keep",
            train__pooled=True,
        ),
    }
)
