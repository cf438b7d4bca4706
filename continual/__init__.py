"""Continual learning: a plastic read-out, regularizers that protect what was learned, and their benchmarks."""
