"""The server: its Flower ServerApp, aggregation, checkpoints and the run folder."""
