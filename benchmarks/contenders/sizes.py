"""The work of the training benchmark: every contender reads it here."""

PIXELS = 784
HIDDEN = 400
LATENT = 20
BATCH = 128  # of training.py, unless it is told another
LEARNING_RATE = 1e-3
