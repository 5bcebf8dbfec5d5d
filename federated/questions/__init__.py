"""Questions that one run cannot answer: who contributes what, and in which order to go live."""
