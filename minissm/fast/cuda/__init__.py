"""Fast paths for CuPy: kernels in CUDA C++ (the .cu files), each with a Python file of the same name that launches it.

A kernel is compiled at its first launch. CuPy caches it, from version 14.2 on also for later processes.
"""

from . import diagonal as diagonal, gelu as gelu, linear as linear, step as step
