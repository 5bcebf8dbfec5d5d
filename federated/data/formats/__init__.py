"""From files to slices, a module a format; all are listed in ``federated.data.formats.table``."""
