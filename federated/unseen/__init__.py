"""A finished run's models on images that they have never seen, and outside of this program."""
