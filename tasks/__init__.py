"""Experiments on memory: few-shot characters, patterns, images."""
