"""Tables and functions: samples that are rows of numbers (N, F), float64, with a class or numbers for targets.

columns     a file's columns as they stand in it; errors name file, line and column
encoding    columns -> inputs of a network, categories one-hot
table       `dataset: table`: what is read of a file once, and its two splits
known       scikit-learn's tables
given       rows for a trained model
generated   values of a function at random points: special, feynman, formula
"""
