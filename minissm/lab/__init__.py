"""Experiments that use the library: compare models on a task, draw and print what came out."""
