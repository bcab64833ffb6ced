"""A trained network made smaller or larger: edges and channels taken out, weights of 8 bits, bases from tables, finer
grids."""
