"""The record of exchanges: the workers' logs, and the segments that the recorder writes from them."""
