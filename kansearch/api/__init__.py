"""The public Python face. `kansearch` itself gives each of its names: `from kansearch import launch`."""
