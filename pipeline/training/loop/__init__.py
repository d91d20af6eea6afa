"""The training loop: steps, state, checkpoints, validation, progress."""
