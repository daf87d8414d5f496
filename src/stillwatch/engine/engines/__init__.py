"""One engine per file, named after the file; the extra of that name installs its dependencies.

Each offers `open_engine(threads, memory_limit, address)`, which returns a `stillwatch.engine.SqlEngine`.
"""
