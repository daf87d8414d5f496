"""One engine a file, called by the file's name; what else it needs is the extra of that name.

Each offers `open_engine(threads, memory_limit, address)`, which gives a `stillwatch.engine.SqlEngine`.
"""
