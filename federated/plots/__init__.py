"""Figures of a run, each a function of it that returns a matplotlib ``Figure``.

    run = federated.results.load("runs/demo")
    federated.plots.convergence(run, metric="f1").savefig("f1.pdf")

Nothing here touches pyplot or needs a display. Figures of a rollout's answers are with the answers:
``federated.answers.waiting.figure(run)``.
"""

from federated.plots.by_method import methods_side_by_side
from federated.plots.comparison import comparison
from federated.plots.convergence import convergence, training_loss
from federated.plots.differences import differences
from federated.plots.drift import bn_distances, bn_drift
from federated.plots.egress import egress
from federated.plots.embeddings import embedding_map, embeddings
from federated.plots.examples import examples
from federated.plots.forest import forest
from federated.plots.memory import memory_age, memory_occupancy
from federated.plots.numbers import NothingToDrawError
from federated.plots.plot import Plot
from federated.plots.privacy import privacy
from federated.plots.probabilities import decision_curve, reliability
from federated.plots.roc import roc
from federated.plots.rollout import rollout
from federated.plots.rollout_convergence import rollout_convergence
from federated.plots.style import DOUBLE, SINGLE, save
from federated.plots.worst_and_mean import worst_and_mean

__all__ = [
    "DOUBLE",
    "PLOTS",
    "SINGLE",
    "NothingToDrawError",
    "Plot",
    "bn_distances",
    "bn_drift",
    "comparison",
    "convergence",
    "decision_curve",
    "differences",
    "egress",
    "embedding_map",
    "embeddings",
    "examples",
    "forest",
    "memory_age",
    "memory_occupancy",
    "methods_side_by_side",
    "privacy",
    "reliability",
    "roc",
    "rollout",
    "rollout_convergence",
    "save",
    "training_loss",
    "worst_and_mean",
]

PLOTS = (
    Plot(
        "convergence",
        "Validation AUC over rounds at each site. Rings: the round whose model is kept. "
        "With several seeds: their mean and, of three or more, its 95 % interval as a band.",
        convergence,
    ),
    Plot(
        "methods",
        "Validation AUC over rounds by method, a line per site.",
        methods_side_by_side,
    ),
    Plot(
        "worst-and-mean",
        "Validation AUC of the worst site of each round, and the unweighted mean over sites.",
        worst_and_mean,
    ),
    Plot(
        "comparison",
        "Test AUC of the model that each hospital uses (final). Dots: seeds; bars: their mean; "
        "lines: its 95 % interval over images and seeds; diamonds: mean of the kept models; "
        "dashed: the hospital alone.",
        comparison,
    ),
    Plot(
        "differences",
        "Test AUC less that of the reference on the same images and seeds, with 95 % intervals. "
        "Dotted: the margin that was fixed before the run; a line right of it is not worse.",
        differences,
    ),
    Plot(
        "forest",
        "Test AUC of each hospital, mean over seeds with its 95 % interval, and their "
        "random-effects mean as a diamond. Bar below it: where a further hospital would lie.",
        forest,
    ),
    Plot(
        "roc",
        "ROC on test images of the final models, site by site; every seed a curve.",
        roc,
    ),
    Plot(
        "reliability",
        "Share of positives (class 1) among test images by the probability that the final models "
        "gave, all seeds together. Bands, of up to 3 methods: 95 % over patients. Diagonal: as "
        "promised.",
        reliability,
    ),
    Plot(
        "decision-curve",
        "Net benefit of acting on the final models' probabilities from a threshold on, mean over "
        "seeds; of up to 3 methods with 95 % bands. Grey: to act on everybody, and on nobody.",
        decision_curve,
    ),
    Plot(
        "examples",
        "Test images that each hospital's final model was surest of, told rightly (blue frame) and "
        "wrongly (orange frame), with the probability of class 1 and what they are. Of synthetic "
        "hospitals, unless patients were asked for.",
        examples,
        is_of_images=True,
        has_photos=True,
    ),
    Plot(
        "training-loss",
        "Cross-entropy on training images, contrastive and proximal terms left out.",
        training_loss,
    ),
    Plot(
        "memory",
        "Embeddings in each site's contrastive memory when a round's training ended.",
        memory_occupancy,
    ),
    Plot(
        "memory-age",
        "Mean age of what each site's contrastive memory holds, in rounds since the weights that "
        "made an entry were current.",
        memory_age,
    ),
    Plot(
        "egress",
        "Tensors that left all hospitals in each round, by their own ledgers: shared weights, and "
        "what belongs to batch norm or to the memory.",
        egress,
    ),
    Plot(
        "privacy",
        "Test AUC of the final model against epsilon, what a site's noise has left of its privacy "
        "by the last round: smaller is more private. Dots: seeds; marks: their mean with its 95 % "
        "interval over images and seeds; lines with bands: methods without noise.",
        privacy,
    ),
    Plot(
        "rollout",
        "Who took part when. Bars: computing and transfer; where a bar would be too narrow to "
        "see, a tick a round.",
        rollout,
        is_of_rollout=True,
    ),
    Plot(
        "rollout-convergence",
        "Validation AUC over virtual time. Dotted: the hospital joins; ticks at the lower edge: "
        "others do; grey: an outage; hatched: it sends garbage; level: the target AUC and its "
        "interval; diamond: it is reached.",
        rollout_convergence,
        is_of_rollout=True,
    ),
    Plot(
        "embeddings",
        "Embeddings of test images, each by its own hospital's kept model of the method, on their "
        "first two principal components (share of the variance). Where a method has no contrast, "
        "nothing trains the layer that makes them. Of synthetic hospitals, unless patients were "
        "asked for.",
        embeddings,
        is_by_method=True,
        is_of_images=True,
    ),
    Plot(
        "bn-drift",
        "Distance between the sites' kept batch norms by layer (mean over channels), on one scale "
        "for all methods. Visible only because a simulation's sites share one disk.",
        bn_drift,
        is_by_method=True,
    ),
)
"""Every figure of a run beside those of its answers, in the order of the page."""
