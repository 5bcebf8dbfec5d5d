"""Where images come from, a module a source; all are listed in ``federated.data.sources.table``."""
