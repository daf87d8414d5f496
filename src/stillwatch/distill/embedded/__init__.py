"""Makes distillation possible without downloaded weights: tasks, teachers, a server."""

EMBEDDED = "embedded:"  # a base_url with this prefix is served by this process while it is asked
SOLVER = "sympy"  # its suffix: SymPy works out the answers, without a model


def has_weights(base_url: str) -> bool:
    """Return whether an address names a model served here, which can be measured without requests.

    >>> has_weights("embedded:clock"), has_weights("embedded:sympy"), has_weights("http://127.0.0.1:1/v1")
    (True, False, False)
    """
    return base_url.startswith(EMBEDDED) and base_url != EMBEDDED + SOLVER
