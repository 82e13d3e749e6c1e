"""Measurements of the product on this machine: `make bench`, or `python -m benchmarks NAME`. See docs/benchmarks.md."""
