"""What the commands do between parsing and the packages that do the work: call, then print."""
