"""The results of a search as a page of HTML, pictures and a sketch in a terminal.

data            all that is read of a study for a report
html, writer    the page, and an observer that writes it while a search runs; templates/ has its styles and its script
script          the data that the script reads; axes, epochs: the front over other axes, as of earlier epochs
geometry        the front's points, axes, colours and shapes: one for the page, the pictures and the terminal
front_plot      the front as PNG and SVG; sketch: in a terminal
others          a section of the page each: bases, importance, parallel, timeline, confirmation, verdict, failures,
                provenance, trials_table
comparison      a page of its own, of several studies
inspection      pictures of the functions that a network has learned
"""

__all__ = ["comparison", "data", "front_plot", "html", "inspection", "sketch", "writer"]
