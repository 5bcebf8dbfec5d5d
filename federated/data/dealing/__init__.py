"""Who gets which image: hospitals out of a data set, splits that do not leak, growing data."""
