"""What one run of a rollout answers, a file an answer: numbers, table, figure, words."""
