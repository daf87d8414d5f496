"""What lets a distillation run without anybody's weights: tasks, teachers, a server.

It does not know how a student is taught.
"""

EMBEDDED = "embedded:"  # a base_url that starts so is served by ourselves while it is asked
SOLVER = "sympy"  # after it: SymPy works the answers out, without a model


def has_weights(base_url: str) -> bool:
    """Whether an address names a model that is served here, which can be measured without asking it.

    >>> has_weights("embedded:clock"), has_weights("embedded:sympy"), has_weights("http://127.0.0.1:1/v1")
    (True, False, False)
    """
    return base_url.startswith(EMBEDDED) and base_url != EMBEDDED + SOLVER
