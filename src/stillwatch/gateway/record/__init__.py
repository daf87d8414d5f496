"""What is written down of exchanges: the workers' logs, and the segments that the recorder makes of them."""
