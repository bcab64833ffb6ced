"""Formulas from trained networks of the family `mlp`: every edge as c·f(a·x + b) + d, f from a library.

library      the functions f, their slopes, and how they look in sympy
formula      a network of such edges: its values, its slopes, and the least squares that fit its constants
extract      what the edges of a trained network compute, in the user's units
edges        an edge's function by least squares from several starts, best first
search       which function each edge gets, judged by the whole formula's validation error
constants    constants that say nothing are fixed, and those near simple numbers rounded
written      sympy and LaTeX
front        all of it: the front of formulas of some models
"""
