"""The child of sandbox.call: give up all rights, load the submission, answer. Its text is run by `python -c`.

From the submission on nothing in this process can be trusted: the parent takes what it says as numbers, no more.
"""

import ctypes
import io
import json
import os
import sys
import traceback
import types
from contextlib import suppress

if sys.platform != "win32":  # where this file is imported, and never run
    import resource

    LIBC = ctypes.CDLL(None, use_errno=True)

# What computes and reads files. `open` and the like have their conditions below; all else fails with EPERM.
ALLOWED = (
    "read readv pread64 preadv write writev close lseek fstat stat lstat newfstatat statx access faccessat "
    "faccessat2 readlink readlinkat getdents64 getcwd mmap munmap mremap mprotect madvise brk mincore futex "
    "futex_waitv set_robust_list rseq membarrier sched_yield sched_getaffinity getcpu getpid gettid getppid "
    "getuid geteuid getgid getegid uname sysinfo getrusage times clock_gettime clock_getres clock_nanosleep "
    "nanosleep gettimeofday time getrandom rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall "
    "exit exit_group poll ppoll select pselect6 dup dup2 dup3 getrlimit arch_prctl "
)
KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")  # of arrays that travel
MOST_ARRAYS = 16  # in an answer


def frame(word: str, arrays: list, more: object = None) -> bytes:
    """A JSON line [word, [[kind, shape] or null, ...], more], then the numbers of the arrays, in C order."""
    kinds = [None if a is None else [a.dtype.str[1:], a.shape] for a in arrays]
    return json.dumps([word, kinds, more]).encode() + b"\n" + b"".join(a.tobytes() for a in arrays if a is not None)


def landlock(paths: list[str]) -> None:
    """Nothing but these paths may be read, and nothing written; no TCP; no signal to others. OSError: not here."""
    abi = LIBC.syscall(444, None, 0, 1)
    if abi < 1:
        raise OSError("no Landlock here")
    files = (1 << (13, 14, 15, 15, 16)[min(abi, 5) - 1]) - 1  # every right that this version knows, to be denied
    attributes = (ctypes.c_uint64 * 3)(files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    ruleset = LIBC.syscall(444, attributes, 24 if abi >= 6 else 16 if abi >= 4 else 8, 0)
    for path in paths:
        place = os.open(path, os.O_PATH)
        rights = 4 | 8 * os.path.isdir(path)  # read a file, list a folder
        rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        if LIBC.syscall(445, ruleset, 1, rule, 0):
            raise OSError(ctypes.get_errno(), "a rule of Landlock", path)
        os.close(place)
    LIBC.prctl(38, 1, 0, 0, 0)  # no new rights: only an administrator may go without
    if LIBC.syscall(446, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock")
    os.close(ruleset)


def seccomp() -> None:
    """Every system call that isn't allowed fails from now on, by the system's libseccomp. OSError: not here."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(lib.seccomp_init(0x00050000 | 1))  # else: EPERM

    class Compare(ctypes.Structure):
        _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

    def allow(name: str, *compare: tuple[int, ...]) -> None:
        number = lib.seccomp_syscall_resolve_name(name.encode())  # negative: not on this machine
        conditions = (Compare * len(compare))(*(Compare(*c) for c in compare))
        if number >= 0 and lib.seccomp_rule_add_array(rules, 0x7FFF0000, number, len(compare), conditions):
            raise OSError(f"no rule of seccomp for {name}")

    equal, masked = 4, 7
    for name in ALLOWED.split():
        allow(name)
    for name, arg in (("open", 1), ("openat", 2)):  # for reading alone
        allow(name, (arg, masked, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0))
    for command in (0, 1, 2, 3, 1030):  # copies and flags of a descriptor; F_SETOWN would signal other processes
        allow("fcntl", (1, equal, command))
    allow("prlimit64", (0, equal, 0))  # this process alone
    allow("tgkill", (0, equal, os.getpid()))  # abort()
    if lib.seccomp_load(rules):
        raise OSError("no seccomp here")


def confine(isolation: str, readable: list[str], seconds: float, memory: int) -> None:
    """Limits, and what the isolation asks for. OSError: it doesn't work here."""
    if sys.platform == "linux":
        LIBC.prctl(38, 1, 0, 0, 0)  # no new rights
        if isolation == "landlock":
            landlock(readable)
        if os.getuid() == 0:  # another real user, since no limit on processes binds root; files stay readable
            with suppress(OSError):
                os.setgroups([])
                os.setresuid(61000, 0, 0)
        LIBC.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())  # root without its capabilities
        LIBC.prctl(1, 9, 0, 0, 0)  # ends with the parent
        LIBC.prctl(4, 0, 0, 0, 0)  # no core, no trace by others
    cpu = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) + seconds) + 1
    limits = {"CPU": cpu, "AS": memory, "NPROC": 0, "FSIZE": 0, "NOFILE": 64, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0}
    for name, value in limits.items():
        with suppress(AttributeError, ValueError, OSError):  # macOS has fewer
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if isolation != "none":
        seccomp()


def load(source: bytes) -> dict:
    """The names that the submission defines. A byte that isn't UTF-8 does no harm in a comment."""
    module = sys.modules["submission"] = types.ModuleType("submission")  # dataclasses look there
    cookie = b"coding" in b"".join(source.split(b"\n", 2)[:2])
    text = source if cookie else source.decode("utf-8-sig", "replace")
    exec(compile(text, "submission", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def answer(names: dict, name: str, arrays: list) -> bytes:
    """What the function returns, as a frame, and whether the arrays are as they were, bit by bit."""
    import numpy as np

    if name not in names:
        raise NameError(f"there is no function {name}")
    before = frame("", arrays)
    returned = names[name](*arrays)
    returned = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if len(returned) > MOST_ARRAYS:
        raise TypeError(f"{name} returned {len(returned)} values; expected one array for each output")
    for i, value in enumerate(returned):
        a = np.asarray(value)
        if a.dtype.str[1:] not in KINDS:
            what = f"an array of {a.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise TypeError(f"{name} returned {what}; expected arrays of numbers")
        returned[i] = a.astype(a.dtype.newbyteorder("="), copy=False)
    return frame("ok", returned, frame("", arrays) == before)


def failure(error: BaseException) -> bytes:
    """A frame that says what went wrong, and in which line of the submission."""
    if isinstance(error, MemoryError):
        return frame("memory", [])
    try:
        lines = [line for f, line in traceback.walk_tb(error.__traceback__) if f.f_code.co_filename == "submission"]
        text = str(error)
        if isinstance(error, SyntaxError) and error.filename == "submission":
            text, lines = error.msg, [error.lineno or 1]
        text = f"{type(error).__name__}: {text}"[:250] + (f" (line {lines[-1]})" if lines else "")
    except BaseException:
        text = "an exception that can't be shown"
    return frame("error", [], text)


def main() -> None:
    asked = io.BytesIO(os.fdopen(0, "rb", closefd=False).read())
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the submission prints goes to the log
    isolation, readable, home, seconds, memory, size = json.loads(asked.readline())
    source = asked.read(size)
    sys.path.insert(0, home)  # for NumPy, and nothing that lies beside it
    import numpy as np

    del sys.path[0]
    confine(isolation, readable, seconds, memory)
    error, names = b"", {}
    try:
        names = load(source)
    except BaseException as problem:
        error = failure(problem)
    for line in asked:
        name, kinds, _ = json.loads(line)
        arrays = []
        for kind in kinds:
            data = kind and bytearray(asked.read(int(np.prod(kind[1])) * int(kind[0][1:])))
            arrays.append(kind and np.frombuffer(data, kind[0]).reshape(kind[1])[()])
        try:
            reply = error or answer(names, name, arrays)
        except BaseException as problem:
            reply = failure(problem)
        answers.write(reply)
        answers.flush()
    os._exit(0)  # no farewell of the submission's


if __name__ == "__main__":
    main()
