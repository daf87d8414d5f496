"""One page about a run: places for its pictures, and the page itself. It computes no figure."""
