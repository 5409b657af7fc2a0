"""Where plans run: the seam between the two wings, and its implementations."""
