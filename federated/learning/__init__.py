"""How a hospital learns: plain PyTorch that knows nothing of Flower, Ray or other hospitals."""
