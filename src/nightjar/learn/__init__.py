"""Batches, models, losses, loop, checkpoints: torch, without a clock, a tracker or Spark."""
