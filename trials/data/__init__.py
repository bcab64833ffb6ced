"""Images: which there are, where they lie, how they are split and served."""
