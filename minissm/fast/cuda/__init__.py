"""Fast paths for CuPy: kernels in CUDA C++ (the .cu files), and beside each of them what gives it its arrays.

A kernel is compiled when the first CuPy array comes to it. CuPy keeps it, from 14.2 on also for later processes.
"""

from . import diagonal as diagonal, linear as linear, step as step
