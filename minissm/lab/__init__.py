"""Experiments: compare models on a task, draw and print the results, measure the modes on this machine."""
