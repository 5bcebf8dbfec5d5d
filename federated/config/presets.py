"""METHODS: a method is data, the settings in which it differs from the defaults.

The defaults of the configuration are FedAvg on every tensor. Joint training, which is none, is in
``federated.config.joint``. Adding a method is one entry and ``python -m federated.config.sync``,
which writes all that follows from it. A study can also derive one in its own file
(``[method.NAME]`` in docs/CONFIG.md), and a method may live outside of this package:
``methods = ["package.module:name"]`` names a ``Method`` (docs/METHOD.md).
"""

from collections.abc import Mapping
from types import MappingProxyType

from federated.config.joint import JOINT
from federated.config.method import Method, entry

ALONE = "local"
"""The method that is no federation: what every other one is compared with."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        ALONE: entry(
            "every hospital alone: nothing is shared", "baseline", sharing__policy="nothing"
        ),
        "fedavg": entry(
            "the weighted mean of every tensor",
            "McMahan et al., AISTATS 2017, arXiv 1602.05629",
            sharing__policy="all",
        ),
        "fedprox": entry(
            "FedAvg with a proximal pull towards the server's weights",
            "Li et al., MLSys 2020, arXiv 1812.06127",
            sharing__policy="all",
            train__proximal_mu=0.01,
        ),
        "fedavgm": entry(
            "silobn whose server adds momentum to the mean update",
            "Hsu et al. 2019, arXiv 1909.06335",
            sharing__policy="silobn",
            server__optimizer="momentum",
        ),
        "fedadam": entry(
            "silobn whose server takes the mean update as Adam's gradient",
            "Reddi et al., ICLR 2021, arXiv 2003.00295",
            sharing__policy="silobn",
            server__optimizer="adam",
        ),
        "fedyogi": entry(
            "silobn whose server takes the mean update as Yogi's gradient",
            "Reddi et al., ICLR 2021, arXiv 2003.00295",
            sharing__policy="silobn",
            server__optimizer="yogi",
        ),
        "fedadagrad": entry(
            "silobn whose server takes the mean update as Adagrad's gradient",
            "Reddi et al., ICLR 2021, arXiv 2003.00295",
            sharing__policy="silobn",
            server__optimizer="adagrad",
            server__momentum=0.0,
        ),
        "fedbn": entry(
            "FedAvg with every batch-norm tensor private",
            "Li et al., ICLR 2021, arXiv 2102.07623",
            sharing__policy="conv",
        ),
        "silobn": entry(
            "FedAvg with batch-norm statistics private, the affine part shared",
            "Andreux et al., DCL 2020, arXiv 2008.07424",
            sharing__policy="silobn",
        ),
        "ditto": entry(
            "FedAvg, and beside it a personal model of each hospital that is pulled towards it",
            "Li et al., ICML 2021, arXiv 2012.04221",
            code="federated.methods.ditto:rules",
            sharing__policy="all",
            train__proximal_mu=0.1,
        ),
        "apfl": entry(
            "FedAvg, and a mixture of it with a model of each hospital's own, the share learnt",
            "Deng, Kamani and Mahdavi 2020, arXiv 2003.13461",
            code="federated.methods.apfl:rules",
            sharing__policy="all",
        ),
        "scaffold": entry(
            "FedAvg with control variates against drift of the hospitals' training",
            "Karimireddy et al., ICML 2020, arXiv 1910.06378",
            code="federated.methods.scaffold:rules",
            sharing__policy="all",
            train__optimizer="sgd",
            train__momentum=0.0,
            train__lr=0.05,
        ),
        "fedper": entry(
            "FedAvg with the heads private, batch norm shared",
            "Arivazhagan et al. 2019, arXiv 1912.00818",
            sharing__policy="all",
            sharing__private="heads",
        ),
        "fedrep": entry(
            "FedPer that trains the heads alone first, and then the shared body alone",
            "Collins et al., ICML 2021, arXiv 2102.07078",
            code="federated.methods.fedrep:rules",
            sharing__policy="all",
            sharing__private="heads",
        ),
        "fedbabu": entry(
            "FedPer whose heads keep their first weights while the federation trains",
            "Oh, Kim and Yun, ICLR 2022, arXiv 2106.06042",
            code="federated.methods.fedbabu:rules",
            sharing__policy="all",
            sharing__private="heads",
        ),
        "fednova": entry(
            "FedAvg whose mean is of changes per step, so that more steps are no more weight",
            "Wang et al., NeurIPS 2020, arXiv 2007.07481",
            code="federated.methods.fednova:rules",
            sharing__policy="all",
            train__optimizer="sgd",
            train__momentum=0.0,
            train__lr=0.05,
        ),
        "feddyn": entry(
            "FedAvg whose hospitals' losses are tilted and pulled until they agree on one minimum",
            "Acar et al., ICLR 2021, arXiv 2111.04263",
            code="federated.methods.feddyn:rules",
            sharing__policy="all",
            train__proximal_mu=0.1,
            train__optimizer="sgd",
            train__momentum=0.0,
            train__lr=0.05,
        ),
        "fixbn": entry(
            "FedAvg whose batch norms stop using batch statistics in the middle of the rounds",
            "Zhong et al. 2023, arXiv 2303.06530",
            code="federated.methods.fixbn:rules",
            sharing__policy="all",
        ),
        "hbn": entry(
            "FedAvg whose batch norms learn how far to trust the batch, or all hospitals together",
            "Chen et al., ICML 2025, arXiv 2505.21877",
            code="federated.methods.hbn:rules",
            sharing__policy="all",
        ),
        "fedap": entry(
            "FedBN with a mean of its own for each hospital, of those with like batch norms",
            "Lu et al., IEEE Transactions on Big Data 2022, arXiv 2112.00734",
            code="federated.methods.fedap:rules",
            sharing__policy="conv",
        ),
        "fedrdn": entry(
            "FedAvg whose images are normalised by statistics of a hospital drawn at random",
            "Yan et al., CVPR 2025, arXiv 2306.09363",
            code="federated.methods.fedrdn:rules",
            sharing__policy="all",
            model__input="statistics",
        ),
        "harmofl": entry(
            "FedAvg of images with one amplitude, trained to bear weights that are a little off",
            "Jiang, Wang and Dou, AAAI 2022, arXiv 2112.10775",
            code="federated.methods.harmofl:rules",
            sharing__policy="all",
            model__input="amplitude",
        ),
        "fedwon": entry(
            "FedAvg without any norm: the convolutions' weights are standardised instead",
            "Zhuang and Lyu, ICLR 2024, arXiv 2306.05879, with our clipping for its own",
            sharing__policy="all",
            model__norm="weight",
        ),
        "series-adapters": entry(
            "FedBN with small convolutions of each hospital's own behind the shared ones",
            "Rebuffi, Bilen and Vedaldi, NeurIPS 2017, arXiv 1705.08045, between hospitals",
            sharing__policy="conv",
            model__adapters="series",
        ),
        "parallel-adapters": entry(
            "FedBN with small convolutions of each hospital's own beside the shared ones",
            "Rebuffi, Bilen and Vedaldi, CVPR 2018, arXiv 1803.10082, between hospitals",
            sharing__policy="conv",
            model__adapters="parallel",
        ),
        "ms-net": entry(
            "FedBN with a classifier of each hospital's own that teaches the shared one",
            "Liu et al., IEEE TMI 2020, arXiv 2002.03366, for classes and between hospitals",
            code="federated.methods.msnet:rules",
            sharing__policy="conv",
        ),
        "fedmedian": entry(
            "FedAvg with the median over the hospitals in the place of the mean",
            "Yin et al., ICML 2018, arXiv 1803.01498",
            sharing__policy="all",
            server__rule="median",
        ),
        "fedtrimmedavg": entry(
            "FedAvg with the least and greatest values left out of the mean",
            "Yin et al., ICML 2018, arXiv 1803.01498",
            sharing__policy="all",
            server__rule="trimmed-mean",
        ),
        "krum": entry(
            "FedAvg that takes over the one update which lies closest to the others",
            "Blanchard et al., NeurIPS 2017, arXiv 1703.02757",
            sharing__policy="all",
            server__rule="krum",
        ),
        "moon": entry(
            "FedAvg with a contrast between the server's, the previous and the local model",
            "Li et al., CVPR 2021, arXiv 2103.16257",
            sharing__policy="all",
            contrast__objective="moon",
            contrast__temperature=0.5,
        ),
        "contrastive": entry(
            "FedBN with the published contrastive loss inside the batch",
            "Wang, Liu and Dou, IEEE J-BHI 2020, arXiv 2009.07652, each site on its own",
            sharing__policy="conv",
            contrast__objective="nt-xent",
        ),
        "consilium": entry(
            "FedBN with the heads private too, contrastive memory at each site, statistics "
            "recalibrated on arrival",
            "this project, after arXiv 2009.07652",
            sharing__policy="backbone",
            contrast__objective="sup-con",
            contrast__memory_size=512,
            contrast__weight=0.1,
            contrast__temperature=0.5,
            bn__recalibrate=True,
        ),
        **JOINT,
    }
)
