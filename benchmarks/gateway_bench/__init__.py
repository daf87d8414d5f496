"""The parts of `benchmarks/gateway.py`: a mock upstream, a load generator, contestants, costs."""
