"""A hospital: its Flower ClientApp, its private vault and its work."""
