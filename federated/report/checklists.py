"""The items of three reporting guidelines, and which fact of a run each asks for.

Topics are in our words. An item without a fact is the author's: the run cannot know it.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """An item of a guideline: its number there, its topic, and the name of the fact it asks for."""

    number: str
    topic: str
    fact: str = ""


CLAIM = (
    Item("1", "title says that it is a study of AI"),
    Item("2", "structured abstract"),
    Item("3", "background and clinical role"),
    Item("4", "objectives and hypotheses"),
    Item("5", "prospective or retrospective"),
    Item("6", "goal of the study"),
    Item("7", "sources of data", "data"),
    Item("8", "eligibility criteria"),
    Item("9", "preprocessing", "preprocessing"),
    Item("10", "selection of subsets of data", "selection"),
    Item("11", "definition of data elements"),
    Item("12", "de-identification"),
    Item("13", "missing data", "missing"),
    Item("14", "definition of the reference standard"),
    Item("15", "why this reference standard"),
    Item("16", "source of the annotations"),
    Item("17", "tools of annotation"),
    Item("18", "variability of raters"),
    Item("19", "intended sample size"),
    Item("20", "how data were dealt to partitions", "partitions"),
    Item("21", "at which level partitions are disjoint", "disjoint"),
    Item("22", "the model in detail", "model"),
    Item("23", "software", "software"),
    Item("24", "initial parameters", "initial"),
    Item("25", "training", "training"),
    Item("26", "how the final model was chosen", "choice"),
    Item("27", "ensembling", "ensemble"),
    Item("28", "metrics of performance", "metrics"),
    Item("29", "uncertainty and significance", "uncertainty"),
    Item("30", "sensitivity and robustness", "robustness"),
    Item("31", "explainability"),
    Item("32", "testing on external data", "external"),
    Item("33", "flow of participants", "counts"),
    Item("34", "demographics and clinical characteristics"),
    Item("35", "performance", "performance"),
    Item("36", "accuracy with its precision", "intervals"),
    Item("37", "failure analysis", "failures"),
    Item("38", "limitations"),
    Item("39", "implications for practice"),
    Item("40", "registration"),
    Item("41", "where the protocol is"),
    Item("42", "funding"),
)
"""Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2(2), 2020."""

TRIPOD_AI = (
    Item("1", "title"),
    Item("2", "abstract"),
    Item("3a to 3c", "background, target population, known inequalities"),
    Item("4", "objectives"),
    Item("5a", "sources of data", "data"),
    Item("5b", "dates of the data"),
    Item("6a to 6c", "setting, eligibility, treatments"),
    Item("7", "preparation of data", "preprocessing"),
    Item("8a to 8c", "outcome and its assessment"),
    Item("9a to 9c", "predictors and their measurement", "predictors"),
    Item("10", "sample size"),
    Item("11", "missing data", "missing"),
    Item("12a", "how the data were used and partitioned", "partitions"),
    Item("12b", "handling of predictors", "preprocessing"),
    Item("12c", "type of model, building and internal validation", "training"),
    Item("12d", "heterogeneity between clusters", "heterogeneity"),
    Item("12e", "measures and plots of performance", "metrics"),
    Item("12f", "updating of the model", "updating"),
    Item("12g", "how predictions are calculated for evaluation", "output"),
    Item("13", "class imbalance", "imbalance"),
    Item("14", "fairness"),
    Item("15", "output of the model, thresholds", "output"),
    Item("16", "differences between training and evaluation data"),
    Item("17", "ethical approval"),
    Item("18a to 18d", "funding, interests, protocol, registration"),
    Item("18e", "availability of data"),
    Item("18f", "availability of code", "code"),
    Item("19", "involvement of patients and public"),
    Item("20a to 20c", "flow and characteristics of participants", "counts"),
    Item("21", "numbers of participants and outcomes per analysis", "counts"),
    Item("22", "the full model, so that others can predict", "availability"),
    Item("23a", "performance with intervals", "intervals"),
    Item("23b", "heterogeneity of performance between clusters", "heterogeneity"),
    Item("24", "results of updating", "updating"),
    Item("25", "interpretation"),
    Item("26", "limitations"),
    Item("27a to 27c", "use of the model in practice, next steps"),
)
"""Collins et al., BMJ 385, 2024, e078378."""

TRIPOD_CLUSTER = (
    Item("clusters", "what the clusters are, and how many", "data"),
    Item("sizes", "participants and outcomes of each cluster", "counts"),
    Item("inclusion", "why these clusters, and how they were found"),
    Item("differences", "differences of case mix and measurement between clusters"),
    Item("clustering", "how clustering was accounted for in the model", "clustering"),
    Item("validation", "validation across clusters", "external"),
    Item("performance", "performance in each cluster", "performance"),
    Item("heterogeneity", "heterogeneity between clusters, and a new cluster", "heterogeneity"),
    Item("generalisability", "to which settings the results apply"),
)
"""Debray et al., BMJ 380, 2023, e071018: what it asks beyond TRIPOD, by topic, not by number."""

GUIDELINES = {
    "CLAIM (2020)": CLAIM,
    "TRIPOD+AI (2024)": TRIPOD_AI,
    "TRIPOD-Cluster (2023), what it asks beyond TRIPOD, by topic": TRIPOD_CLUSTER,
}
