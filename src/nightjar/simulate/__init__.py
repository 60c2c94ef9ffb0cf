"""A synthetic shop whose truth is known: for the first run, tests and benchmarks."""

from nightjar.simulate.shop import Shop

__all__ = ["Shop"]
