"""Trained models in folders: written, loaded, asked, made smaller and looked into."""
