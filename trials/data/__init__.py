"""Samples: which there are, where they lie, how they are split, varied and served."""
