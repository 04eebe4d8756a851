"""What this machine and this installation are, in sentences: versions, processor, cores, BLAS and its kernel, GPU."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "numpy",
    "scipy",
    "array-api-compat",
    "threadpoolctl",
    "matplotlib",
    "tqdm",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
    "jax",
    "numba",
)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's own name where the system tells it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instructions() -> str:
    """The widest vector instructions of the processor: AVX-512, AVX2, or "" for another or an unknown one."""
    flags = _cpuinfo("flags").split()
    return next((text for flag, text in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")


def _cpuinfo(name: str) -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for text in info.read_text().splitlines():
            if text.startswith(name):
                return text.split(":", 1)[1].strip()
    return ""


def blas() -> str:
    """Which BLAS NumPy uses, the kernel it picked and its threads."""
    import threadpoolctl

    found = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
    told = [
        f"{i['internal_api']} {i['version']}, kernel {i.get('architecture', 'unknown')}, {i['num_threads']} threads"
        for i in found
    ]
    return "; ".join(dict.fromkeys(told)) or "not recognised"


def gpu() -> str:
    """Found, or why not."""
    from ..gpu import card, cupy

    try:
        found = card(cupy())
    except RuntimeError as error:
        return f"not usable: {error}"
    versions = f"driver up to CUDA {found['driver']}, runtime CUDA {found['runtime']}, CuPy {found['cupy']}"
    about = f"{found['memory'] / 1e9:.0f} GB, compute capability {found['compute_capability']}"
    return f"{found['name']}, {about}, {versions}; usable with --backend cupy"


def info() -> str:
    """All of it, a line each."""
    from .. import __version__

    installed = []
    for name in PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    forced = os.environ.get("OPENBLAS_CORETYPE")
    lines = [
        f"minissm {__version__} at {Path(__file__).parent.parent}",
        f"Python {platform.python_version()} on {platform.platform()}",
        f"Packages: {', '.join(installed)}",
        f"Processor: {processor()}, {cores()} cores to use",
        f"BLAS: {blas()}" + (f" (forced by OPENBLAS_CORETYPE={forced}; unset it for speed)" if forced else ""),
        f"GPU: {gpu()}",
        "Fast NumPy versions (minissm/fast/): "
        + ("off (MINISSM_REFERENCE is set)" if os.environ.get("MINISSM_REFERENCE", "") not in ("", "0") else "on"),
    ]
    return "\n".join(lines)
