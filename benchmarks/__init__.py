"""minissm measured against PyTorch, JAX and Numba: `python -m benchmarks --quick`.

Each file here is a workload: CASES (sizes), data(rng, **case) (named arrays), one function a library, which returns
{method: run}, and `bound`, where the workload has one: what any NumPy program must do. run() returns the output and
then the gradients, in the order of the arrays. A new workload is one new file. harness/ runs them and writes reports.
"""
