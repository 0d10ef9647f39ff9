"""The project's own measurements: `python -m benchmarks`. README.md explains each."""
