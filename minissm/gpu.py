"""CuPy, ready to compute, or an error that names the missing part and the remedy."""

import importlib
from typing import Any

PACKAGES = ("cupy", *(f"cupy-cuda{version}x" for version in (11, 12, 13, 14)))  # each installs the module cupy
EXTRA = "pip install -e '.[cuda12]' or '.[cuda13]' in the clone, for the CUDA version that nvidia-smi shows (top right)"
# parts of CuPy's messages if a CUDA library is missing
LIBRARIES = ("Failure finding", "ailed to load", "cannot open shared object", "CUDA headers", "cuda_fp16.h")


def cupy() -> Any:
    """CuPy, ready to compute. RuntimeError in one sentence if CuPy, the driver or a GPU is missing."""
    packages = installed()
    if len(packages) > 1:
        raise _refusal(
            f"{len(packages)} CuPy packages are installed at once, and overwrite each other ({', '.join(packages)}); "
            f"pip uninstall -y {' '.join(packages)}, then install one: {EXTRA}"
        )
    try:
        module = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise _refusal(f"CuPy can't be imported ({_short(error)}); install what is missing") from None
        raise _refusal(f"CuPy is not installed; install one extra, for your CUDA version: {EXTRA}") from None
    except Exception as error:  # CuPy's ImportError is a page long
        raise _refusal(
            f"CuPy is installed but can't be imported ({_short(error)}); "
            f"pip uninstall -y {' '.join(packages) or 'cupy'}, then install it again: {EXTRA}"
        ) from None
    try:
        x = module.arange(4, dtype=module.float32)  # compiles a kernel: is_available() alone can be wrong
        float(module.sum(x) + x @ x)  # uses cuBLAS
    except Exception as error:  # many types, from a missing driver to a GPU that CuPy can't compile for
        raise _refusal(_missing(module, error, packages)) from None
    return module


def installed() -> list[str]:
    """The installed packages that contain the module cupy."""
    from importlib import metadata  # slow to import

    packages = []
    for name in PACKAGES:
        try:
            metadata.version(name)
            packages.append(name)
        except metadata.PackageNotFoundError:
            continue
    return packages


def card(module: Any) -> dict[str, Any]:
    """The current GPU.

    name: its name.
    memory: in bytes.
    compute_capability: like "9.0".
    driver: the latest CUDA version that the driver supports.
    runtime: the CUDA version that CuPy uses.
    cupy: CuPy's version.
    """
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
    """CUDA's number of a version as text: 13020 is "13.2"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _missing(module: Any, error: Exception, packages: list[str]) -> str:
    """The reason why an imported CuPy can't compute, and the remedy."""
    text, package = _short(error), packages[0] if packages else "cupy-cuda13x"
    if "cudaErrorInsufficientDriver" in text:  # raised for an old driver and for none
        driver, runtime = (_version(module, name) for name in ("driverGetVersion", "runtimeGetVersion"))
        if not driver:
            return (
                f"CuPy {module.__version__} finds no NVIDIA driver; use a machine with an NVIDIA GPU and install "
                "its driver (nvidia-smi must show the GPU), or use backend 'numpy'"
            )
        return (
            f"the NVIDIA driver is too old: it supports CUDA {cuda_version(driver)}; CuPy {module.__version__} was "
            f"built for CUDA {cuda_version(runtime)}; install a newer driver, or pip uninstall -y {package} "
            f"and install the extra that fits: {EXTRA}"
        )
    if "cudaErrorNoDevice" in text:
        return (
            "the NVIDIA driver finds no GPU; check that nvidia-smi shows one and that CUDA_VISIBLE_DEVICES "
            "does not hide it, or use backend 'numpy'"
        )
    if any(words in text for words in LIBRARIES):
        return (
            f"CuPy {module.__version__} does not find CUDA's libraries ({text}); "
            f"install them: pip install '{package}[ctk]'"
        )
    return (
        f"CuPy {module.__version__} is installed but can't compute here ({text}); "
        "check that nvidia-smi shows a GPU, or use backend 'numpy'"
    )


def _version(module: Any, name: str) -> int:
    """A version as CUDA's number, 0 if there is no driver."""
    return int(getattr(module.cuda.runtime, name)())


def _short(error: Exception) -> str:
    """The message in one line. For a failed import CuPy puts the reason at the end of a page."""
    text = str(error).rsplit("Original error:", 1)[-1].replace("=" * 8, "")
    return " ".join(text.split())[:200].rstrip() or type(error).__name__


def _refusal(reason: str) -> RuntimeError:
    return RuntimeError(f"backend 'cupy': {reason}")
