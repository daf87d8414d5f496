"""A student taught by a teacher's answers: collect, curate, train, evaluate, report. It knows no gateway."""
