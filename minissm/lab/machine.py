"""This machine and this installation as text: versions, processor, cores, BLAS and its kernel, GPU."""

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
    "jinja2",
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
    """The processor's model name, or its architecture if the system does not know the model."""
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
    """The loaded BLAS libraries: version, kernel and number of threads."""
    import threadpoolctl

    libraries = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
    texts = [
        f"{i['internal_api']} {i['version']}, kernel {i.get('architecture', 'unknown')}, {i['num_threads']} threads"
        for i in libraries
    ]
    return "; ".join(dict.fromkeys(texts)) or "not recognised"


def gpu() -> str:
    """The GPU, or the reason why it can't be used."""
    from ..gpu import card, cupy

    try:
        device = card(cupy())
    except RuntimeError as error:
        return f"not usable: {error}"
    versions = f"driver up to CUDA {device['driver']}, runtime CUDA {device['runtime']}, CuPy {device['cupy']}"
    about = f"{device['memory'] / 1e9:.0f} GB, compute capability {device['compute_capability']}"
    return f"{device['name']}, {about}, {versions}; usable with --backend cupy"


def info() -> str:
    """All of the above, a line each."""
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
        "Fast paths (minissm/fast/): "
        + ("off (MINISSM_REFERENCE is set)" if os.environ.get("MINISSM_REFERENCE", "") not in ("", "0") else "on"),
    ]
    return "\n".join(lines)
