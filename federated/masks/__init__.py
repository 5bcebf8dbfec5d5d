"""Secure aggregation: keys, shares of secrets, and masks that vanish in the sum of all sites."""
