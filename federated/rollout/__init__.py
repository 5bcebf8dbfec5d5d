"""Rollouts over virtual time: when hospitals take part, how long they take, whose updates count.

Pure functions of the configuration and of what sites report (images seen, bytes sent); nothing here
reads a clock, so the same scenario gives the same timeline on any machine.
"""
