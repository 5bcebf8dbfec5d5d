"""How sure a number is: intervals, paired tests, and what holds over all hospitals.

    from federated import results, statistics
    runs = [results.load("runs/demo")]
    scored = statistics.images.scored(runs)          # what each model said of each test image
    statistics.sites.by_seed(scored)                 # DeLong, Wilson, calibration, seed by seed
    statistics.sites.over_seeds(scored)              # with bootstrap intervals, images x seeds
    statistics.methods.against(scored, "local", runs[0].study.common.compare)
    statistics.hospitals.pooled(scored)              # random effects, prediction interval

Every interval is of 95 %. Patients, or groups of near-duplicate images where patients are unknown,
are resampled together. Thresholds are chosen on validation images; test images choose nothing.
"""
