"""A deployment beside the simulation: certificates, keys, and Flower's processes on loopback."""
