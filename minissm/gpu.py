"""CuPy, ready to compute, or one sentence that says what is missing and what to do about it."""

import importlib
from importlib import metadata
from typing import Any

PACKAGES = ("cupy", *(f"cupy-cuda{version}x" for version in (11, 12, 13, 14)))  # each brings the module cupy
EXTRA = "pip install -e '.[cuda12]' or '.[cuda13]' in the clone, by the CUDA version that nvidia-smi shows (top right)"
# what CuPy says where a library of CUDA is missing
LIBRARIES = ("Failure finding", "ailed to load", "cannot open shared object", "CUDA headers", "cuda_fp16.h")


def cupy() -> Any:
    """CuPy, ready to compute; RuntimeError in one sentence where it, its driver or a GPU is missing."""
    found = installed()
    if len(found) > 1:
        raise _refusal(
            f"{len(found)} CuPy packages are installed over one another ({', '.join(found)}); "
            f"pip uninstall -y {' '.join(found)}, then install one: {EXTRA}"
        )
    try:
        module = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise _refusal(f"CuPy can't be imported ({_short(error)}); install what is missing") from None
        raise _refusal(f"CuPy is not installed; install the extra for your CUDA, one of them only: {EXTRA}") from None
    except Exception as error:  # CuPy's own ImportError is a page
        raise _refusal(
            f"CuPy is installed but can't be imported ({_short(error)}); "
            f"pip uninstall -y {' '.join(found) or 'cupy'}, then install it anew: {EXTRA}"
        ) from None
    try:
        x = module.arange(4, dtype=module.float32)  # a kernel, compiled: is_available() alone can lie
        float(module.sum(x) + x @ x)  # and cuBLAS
    except Exception as error:  # of many types, from a missing driver to a card that it can't compile for
        raise _refusal(_missing(module, error, found)) from None
    return module


def installed() -> list[str]:
    """The packages with a module cupy that are installed."""
    found = []
    for name in PACKAGES:
        try:
            metadata.version(name)
            found.append(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def card(module: Any) -> dict[str, Any]:
    """The current GPU: name, memory (bytes), compute_capability; the versions of CUDA that its driver goes up to and
    that CuPy runs on, `driver` and `runtime`, and that of `cupy`."""
    runtime = module.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    return {
        "name": properties["name"].decode(),
        "memory": int(properties["totalGlobalMem"]),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "driver": cuda_version(runtime.driverGetVersion()),
        "runtime": cuda_version(runtime.runtimeGetVersion()),
        "cupy": module.__version__,
    }


def cuda_version(number: int) -> str:
    """13020, as CUDA's functions count, is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _missing(module: Any, error: Exception, found: list[str]) -> str:
    """Why a CuPy that was imported can't compute, and the remedy."""
    text, package = _short(error), found[0] if found else "cupy-cuda13x"
    if "cudaErrorInsufficientDriver" in text:  # said of an old driver and of none
        driver, runtime = (_version(module, name) for name in ("driverGetVersion", "runtimeGetVersion"))
        if not driver:
            return (
                f"CuPy {module.__version__} finds no NVIDIA driver; use a machine with an NVIDIA GPU and install "
                "its driver (nvidia-smi must show the GPU), or use backend 'numpy'"
            )
        return (
            f"the NVIDIA driver is too old: it speaks CUDA {cuda_version(driver)}, CuPy {module.__version__} was built "
            f"for CUDA {cuda_version(runtime)}; install a newer driver, or pip uninstall -y {package} "
            f"and then the extra that fits: {EXTRA}"
        )
    if "cudaErrorNoDevice" in text:
        return (
            "there is a driver but no GPU to be seen; check that nvidia-smi shows one and that CUDA_VISIBLE_DEVICES "
            "does not hide it, or use backend 'numpy'"
        )
    if any(words in text for words in LIBRARIES):
        return (
            f"CuPy {module.__version__} does not find CUDA's libraries ({text}); "
            f"install them beside it: pip install '{package}[ctk]'"
        )
    return (
        f"CuPy {module.__version__} is installed but can't compute here ({text}); "
        "check that nvidia-smi shows a GPU, or use backend 'numpy'"
    )


def _version(module: Any, name: str) -> int:
    """0 where there is none."""
    return int(getattr(module.cuda.runtime, name)())


def _short(error: Exception) -> str:
    """One line of it: CuPy puts the reason of a failed import at the end of a page."""
    text = str(error).rsplit("Original error:", 1)[-1].replace("=" * 8, "")
    return " ".join(text.split())[:200].rstrip() or type(error).__name__


def _refusal(reason: str) -> RuntimeError:
    return RuntimeError(f"backend 'cupy': {reason}")
