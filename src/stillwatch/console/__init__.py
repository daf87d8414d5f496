"""The console: pages on which people judge cases. It shows and asks; what follows is decided below it."""
