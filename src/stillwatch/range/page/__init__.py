"""One page about a run: coordinates of its pictures, and the page itself."""
