"""`make bench`: the figures of docs/figures.md, each beside its baseline, measured in one run on a lab of its own."""
