"""The part of the commands between parsing and the packages that do the work: call, then print."""
