"""Attacks on a finished run, each beside a control that is known to work; a file an attack.

``federated.audit.auditing.audited`` carries them out, ``federated.audit.page`` writes them down.
"""
