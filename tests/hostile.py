"""What a hand-in may try, and a world in which it tries. `python -m tests.hostile ISOLATION` runs all of it.

LOOKS are attempts: each names what it got, if it got something. They run many to a process. ACTS are whole sources.
In both FUNCTION stands for the function that is asked for, CANARY for a folder with a secret and a solution that the
world may write to, PORT for a port that listens, VICTIM and PARENT for processes, SHMID for a piece of shared memory.
"""

# ruff: noqa: E501 (an attack is a line)
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from minissm.classroom import sandbox

END = "\ndef FUNCTION(*a):\n    return a[0]\n"
TRY = """
import ctypes, fcntl, glob, mmap, os, platform, resource, signal, socket, struct, sys
import numpy as np
own = {*np.__file__.split("/"), *os.__file__.split("/")}  # on the way to what may be read
own |= {"lib", "lib64", "usr", "etc", "ld.so.cache", "alternatives"}
got, libc = [], ctypes.CDLL(None, use_errno=True)
def attempt(name, f):
    try:
        if x := f():
            got.append(f"{name}={x}"[:60])
    except BaseException:
        pass
def call(number, *a):  # of x86-64: it worked, or was let in and then found wanting
    if platform.machine() == "x86_64":
        return libc.syscall(number, *a) >= 0 or ctypes.get_errno() not in (1, 3, 38)
"""
TELL = """
def FUNCTION(*a):
    raise ValueError("LEAK:" + ";".join(got) if got else "nothing")
"""
PIPE = """
import json, os, sys
frame = sys._getframe()
while "answers" not in frame.f_locals:
    frame = frame.f_back
fd = frame.f_locals["answers"].fileno()
"""

LOOKS = {
    "reads files": """
attempt("secret", lambda: open("CANARY/secret.txt").read())
attempt("solution", lambda: open("CANARY/solution.py").read())
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("folder", lambda: os.listdir("CANARY"))
for folder in ("/", "/tmp", "/home", "/root", "/etc"):
    attempt(folder, lambda: [p for p in os.listdir(folder) if p not in own])
attempt("library", lambda: __import__("minissm"))
attempt("plotting", lambda: __import__("matplotlib"))
site = os.path.dirname(os.path.dirname(np.__file__))
packages = [site, os.path.dirname(os.__file__) + "/site-packages", "/usr/lib/python3/dist-packages"]
attempt("packages", lambda: [p for d in packages for p in glob.glob(d + "/*") if "numpy" not in p])
attempt("import", lambda: sys.path.extend(packages) or __import__("pytest"))
attempt("terminal", lambda: os.open("/dev/tty", os.O_RDONLY))
attempt("kernel log", lambda: libc.klogctl(3, ctypes.create_string_buffer(99), 99) > 0)
attempt("by handle", lambda: call(303, -100, b"CANARY/secret.txt", struct.pack("Ii128x", 128, 0), b"1234", 0))
""",
    "looks into the parent": """
for name in ("environ", "cmdline", "maps", "mem", "status", "auxv"):
    attempt(name, lambda: open(f"/proc/PARENT/{name}", "rb").read(1) is not None)
attempt("descriptors", lambda: os.listdir("/proc/PARENT/fd"))
attempt("write memory", lambda: open("/proc/PARENT/mem", "rb+"))
attempt("seize", lambda: libc.ptrace(0x4206, PARENT, 0, 0) == 0)
attempt("pidfd", lambda: os.pidfd_open(PARENT))
attempt("getfd", lambda: call(438, 0, 0, 0))
room = ctypes.create_string_buffer(8)
vector = struct.pack("QQ", ctypes.addressof(room), 8)
attempt("vm_readv", lambda: call(310, PARENT, vector, 1, vector, 1, 0))
attempt("vm_writev", lambda: call(311, PARENT, vector, 1, vector, 1, 0))
attempt("kcmp", lambda: call(312, PARENT, os.getpid(), 0, 0, 0))
attempt("processes", lambda: [p for p in os.listdir("/proc") if p.isdigit() and os.listdir(f"/proc/{p}/fd")])
""",
    "inherited descriptors": """
known = {0, 1, 2}
frame = sys._getframe()
while "answers" not in frame.f_locals:
    frame = frame.f_back
known.add(frame.f_locals["answers"].fileno())
for fd in range(3, 64):
    attempt(f"descriptor {fd}", lambda: fd not in known and fcntl.fcntl(fd, fcntl.F_GETFD) + 1)
attempt("write requests", lambda: os.pwrite(0, b"x", 0))
attempt("write requests", lambda: os.write(0, b"x"))
attempt("open requests", lambda: os.open("/proc/self/fd/0", os.O_RDWR))
attempt("map requests", lambda: mmap.mmap(0, 10))
attempt("a longer file", lambda: os.ftruncate(0, 1 << 20) is None)
""",
    "environment": """
known = "OPENBLAS_NUM_THREADS OMP_NUM_THREADS PYTHONHASHSEED PYTHONUTF8 PWD LC_CTYPE LD_LIBRARY_PATH".split()
attempt("environment", lambda: [k for k in os.environ if k not in known])
attempt("secret", lambda: os.environ.get("GRADE_SECRET"))
""",
    "frames": """
frame = sys._getframe()
while frame:
    attempt("frame", lambda: [k for k in [*frame.f_globals, *frame.f_locals] if k in ("right", "secret", "solution")])
    frame = frame.f_back
""",
    "network": """
def tcp():
    with socket.create_connection(("127.0.0.1", PORT), 1) as s:
        return s.sendall(b"x") is None
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.sendto(b"x", ("127.0.0.1", PORT))
def unix(name):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect(name) is None
attempt("tcp", tcp)
attempt("udp", udp)
attempt("abstract", lambda: unix("\\0CANARY"))
attempt("unix", lambda: unix("CANARY/socket"))
attempt("pair", socket.socketpair)
attempt("names", lambda: socket.gethostbyname("localhost"))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt("io_uring", lambda: call(425, 8, ctypes.create_string_buffer(200)))
""",
    "writes": """
for path in ("CANARY/written", "CANARY/solution.py", "/tmp/WAS_HERE", "/dev/shm/WAS_HERE", "/var/tmp/WAS_HERE", "WAS_HERE"):
    attempt(path, lambda: open(path, "a").write("x"))
    attempt(path + " created", lambda: os.open(path, os.O_CREAT | os.O_RDONLY))
    attempt(path + " emptied", lambda: os.open(path, os.O_TRUNC | os.O_RDONLY))
attempt("numpy", lambda: open(np.__file__, "a"))
attempt("python", lambda: open(os.__file__, "a"))
attempt("unnamed", lambda: os.open("CANARY", os.O_TMPFILE | os.O_RDWR))
attempt("openat2", lambda: call(437, -100, b"CANARY/written", struct.pack("QQQ", 0o102, 0o600, 0), 24))
attempt("folder", lambda: os.mkdir("CANARY/folder") is None)
attempt("link", lambda: os.symlink("CANARY/solution.py", "CANARY/link") is None)
attempt("hard link", lambda: os.link("CANARY/solution.py", "CANARY/hard") is None)
attempt("pipe", lambda: os.mkfifo("CANARY/pipe") is None)
attempt("memory file", lambda: os.memfd_create("x"))
""",
    "changes what it can't open": """
attempt("time", lambda: os.utime("CANARY/secret.txt") is None)
attempt("mode", lambda: os.chmod("CANARY/secret.txt", 0o666) is None)
attempt("mode of the folder", lambda: os.chmod("CANARY", 0o777) is None)
attempt("owner", lambda: os.chown("CANARY/secret.txt", os.getuid(), -1) is None)
attempt("attribute", lambda: os.setxattr("CANARY/secret.txt", "user.x", b"x") is None)
attempt("length", lambda: os.truncate("CANARY/solution.py", 0) is None)
attempt("name", lambda: os.rename("CANARY/secret.txt", "CANARY/other") is None)
attempt("removed", lambda: os.unlink("CANARY/secret.txt") is None)
""",
    "kills": """
attempt("victim", lambda: os.kill(VICTIM, 9) is None)
attempt("parent", lambda: os.kill(PARENT, 0) is None)
attempt("all", lambda: os.kill(-1, 0) is None)
attempt("group", lambda: os.killpg(os.getpgid(VICTIM), 0) is None)
attempt("thread", lambda: call(234, VICTIM, VICTIM, 0))
attempt("queue", lambda: call(129, VICTIM, 0, struct.pack("iii116x", 0, 0, -1)))
for fd in range(8):  # the kernel signals VICTIM when the pipe is read
    attempt("owner of a pipe", lambda: fcntl.fcntl(fd, 8, VICTIM) == 0)
    attempt("signal of a pipe", lambda: fcntl.fcntl(fd, 10, 9) == 0)
""",
    "starts processes": """
def fork(how):
    pid = how()
    if pid == 0:
        try:
            open("CANARY/daemon", "w").write("x")
        finally:
            os._exit(0)
    return pid > 0 and "forked"
attempt("fork", lambda: fork(os.fork))
attempt("libc", lambda: fork(libc.fork))
attempt("fork call", lambda: fork(lambda: libc.syscall(57)))
attempt("clone", lambda: fork(lambda: libc.syscall(56, 17, 0, 0, 0, 0)))
attempt("clone3", lambda: fork(lambda: libc.syscall(435, struct.pack("QQQQQ44x", 0, 0, 0, 0, 17), 84)))
attempt("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))
attempt("shell", lambda: os.system("touch CANARY/shell") == 0)
attempt("subprocess", lambda: __import__("subprocess").run(["/bin/true"]).returncode == 0)
attempt("thread", lambda: __import__("threading").Thread(target=print).start() is None)
def execute():
    code = open(sys.executable, "rb").read()
    fd = os.memfd_create("x")
    os.write(fd, code)
    os.execve(fd, ["x"], {})  # then nothing is said any more
attempt("fexecve", execute)
""",
    "raises its limits": """
for name in ("CPU", "AS", "NPROC", "FSIZE", "NOFILE"):
    attempt(name, lambda: resource.setrlimit(getattr(resource, "RLIMIT_" + name), (resource.RLIM_INFINITY,) * 2) is None)
attempt("root", lambda: os.setuid(0) is None)
attempt("root again", lambda: os.setresuid(0, 0, 0) is None)
attempt("group", lambda: os.setgid(0) is None)
attempt("capabilities", lambda: libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 255, 255, 0, 0, 0, 0)) == 0)
attempt("user namespace", lambda: libc.unshare(0x10000000) == 0)
attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0) == 0)
attempt("chroot", lambda: os.chroot("/") is None)
attempt("trace", lambda: libc.prctl(4, 1, 0, 0, 0) == 0)
attempt("bpf", lambda: call(321, 0, bytes(128), 128))
attempt("perf", lambda: call(298, struct.pack("IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0))
attempt("userfaultfd", lambda: call(323, 1))
attempt("key", lambda: call(248, b"user", b"classroom", b"x", 1, -3))
attempt("host name", lambda: socket.sethostname("x") is None)
""",
    "governs other processes": """
for who in (PARENT, VICTIM):
    attempt("limits", lambda: resource.prlimit(who, resource.RLIMIT_CORE, (0, 0)) is not None)
    attempt("scheduler", lambda: os.sched_setscheduler(who, os.SCHED_IDLE, os.sched_param(0)) is None)
    attempt("parameters", lambda: os.sched_setparam(who, os.sched_param(0)) is None)
    attempt("attributes", lambda: call(314, who, struct.pack("II40x", 48, 5), 0))
    attempt("affinity", lambda: os.sched_setaffinity(who, {0}) is None)
    attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, who, 19) is None)
    attempt("memory", lambda: call(440, os.pidfd_open(who), bytes(16), 1, 21, 0))
attempt("remove shared memory", lambda: libc.shmctl(SHMID, 0, None) == 0)
""",
    "leaves kernel memory behind": """
attempt("shared memory", lambda: libc.shmget(0x5151, 4096, 0o1666) >= 0)
attempt("messages", lambda: libc.msgget(0x5151, 0o1666) >= 0)
attempt("semaphores", lambda: libc.semget(0x5151, 1, 0o1666) >= 0)
attempt("queue", lambda: call(240, b"classroom", 0o102, 0o600, 0))
""",
    "names and sizes of files": """
attempt("size", lambda: os.stat("CANARY/secret.txt").st_size)
attempt("exists", lambda: os.path.exists("CANARY"))
""",
}
NAMES_ARE_SEEN = {"landlock": {"names and sizes of files"}, "none": set(LOOKS)}  # what an isolation doesn't promise


def forge(line, rest=""):
    """A source that says the line on the answer pipe, and ends."""
    return PIPE + f"os.write(fd, {line!r} + b'\\n' + b'{rest}')\nos._exit(0)\n"


ACTS = {
    # ---- it never ends, or takes all
    "infinite loop": "def FUNCTION(*a):\n    while True: pass\n",
    "infinite loop at import": "while True: pass\n",
    "a loop that swallows signals": """
import signal
for s in range(1, 64):
    try: signal.signal(s, signal.SIG_IGN)
    except Exception: pass
def FUNCTION(*a):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "a loop inside a C function": "import re\ndef FUNCTION(*a): re.match(r'(a+)+$', 'a' * 60 + 'b')\n",
    "closes the answer pipe and loops": PIPE + "os.close(fd)\nwhile True: pass\n",
    "closes all and loops": "import os\ndef FUNCTION(*a):\n    os.closerange(0, 64)\n    while True: pass\n",
    "an exception that loops": """
class Slow(Exception):
    def __str__(self):
        while True: pass
def FUNCTION(*a): raise Slow
""",
    "a list without end": """
class Endless(list):
    def __iter__(self):
        while True: yield self
    def __len__(self): return 2
def FUNCTION(*a): return Endless()
""",
    "sleeps": "import time\ndef FUNCTION(*a): time.sleep(1e6)\n",
    "stops itself": "import signal\ndef FUNCTION(*a):\n    signal.raise_signal(signal.SIGSTOP)\n    raise ValueError('not stopped')\n",
    "half a line, then silence": PIPE + "import time\nos.write(fd, b'x' * 4096)\ntime.sleep(1e6)\n",
    "half an answer, then silence": PIPE
    + 'import time\nos.write(fd, b\'["ok", [["f8", [1000]]], true]\\n1234\')\ntime.sleep(1e6)\n',
    "a timer": """
import signal
def FUNCTION(*a):
    try: signal.setitimer(signal.ITIMER_REAL, 0.01)
    finally: signal.alarm(1)
    while True: pass
""",
    "fork bomb": """
import os
def FUNCTION(*a):
    for n in range(1000):
        try: os.fork()
        except OSError: continue
        raise ValueError("LEAK:forked")
    raise ValueError("nothing")
""",
    "thread bomb": "import threading, time\ndef FUNCTION(*a):\n    for i in range(10**5): threading.Thread(target=time.sleep, args=(99,)).start()\n",
    "100 GB": "import numpy as np\ndef FUNCTION(*a): return np.ones(int(1e11) // 8)\n",
    "memory in small pieces": "def FUNCTION(*a):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n",
    "recursion without end": "import sys\nsys.setrecursionlimit(10**9)\ndef FUNCTION(*a): return FUNCTION(*a)\n",
    "deep lists": "def FUNCTION(*a):\n    x = []\n    for i in range(10**6): x = [x]\n    return x\n",
    "a giant answer": "import numpy as np\ndef FUNCTION(*a): return np.zeros(80 << 20, 'u1')\n",
    "a broadcast answer": "import numpy as np\ndef FUNCTION(*a): return np.broadcast_to(1.0, (10**6, 10**6))\n",
    "an endless answer": PIPE + "def FUNCTION(*a):\n    while True: os.write(fd, b'x' * 65536)\n",
    "endless print": "def FUNCTION(*a):\n    while True: print('x' * 10000)\n",
    "endless warnings": "import warnings\nwarnings.simplefilter('always')\ndef FUNCTION(*a):\n    while True: warnings.warn('x' * 999)\n",
    "fills the disk": """
def FUNCTION(*a):
    for folder in ("CANARY", "/tmp", "/dev/shm", "."):
        for i in range(1000):
            try: open(f"{folder}/file{i}", "wb").write(b"x" * (1 << 20))
            except OSError: break
            raise ValueError("LEAK:written")
    raise ValueError("nothing")
""",
    # ---- it forges
    "atexit": "import atexit\natexit.register(lambda: (print('{\"score\": 100}'), open('CANARY/results.json', 'w').write('1')))"
    + END,
    "os._exit": "import os\ndef FUNCTION(*a): os._exit(0)\n",
    "sys.exit": "import sys\ndef FUNCTION(*a): sys.exit(0)\n",
    "aborts": "import os\ndef FUNCTION(*a): os.abort()\n",
    "a verdict in print": "print('passed  one real pole (1)\\n' * 9)" + END,
    "patches NumPy": "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\nnp.abs = lambda *a: np.zeros(1)\nnp.asarray = lambda a: a"
    + END,
    "patches the child": "import __main__, os\n__main__.frame = lambda *a: b'[\"ok\", [], true]\\n'\n__main__.failure = lambda e: b'[\"ok\", [], true]\\n'\nos._exit = print"
    + END,
    "hooks imports": "import sys\nclass Hook:\n    def find_spec(s, n, *a): return None\nsys.meta_path.insert(0, Hook())\nsys.modules['json'] = sys.modules['os'] = None\nsys.settrace(lambda *a: None)"
    + END,
    "replaces its output": "import sys\nclass Out:\n    def write(s, t): raise OSError\n    flush = write\nsys.stdout = sys.stderr = Out()\nsys.excepthook = None"
    + END,
    "an array that equals all": """
import numpy as np
class A(np.ndarray):
    def __eq__(s, o): return True
    def __sub__(s, o): return np.zeros(1)
    __rsub__ = __sub__
    shape = dtype = property(lambda s: 1 / 0)
def FUNCTION(x, *a): return x.view(A)
""",
    "an object that becomes an array": "import numpy as np\nclass A:\n    def __array__(s, *a, **k): return np.array([A()], dtype=object)\ndef FUNCTION(*a): return A()\n",
    "memory that isn't its own": "class A:\n    __array_interface__ = dict(shape=(8,), typestr='<f8', data=(4096, True), version=3)\ndef FUNCTION(*a): return A()\n",
    "breaks its interpreter": "import ctypes\ndef FUNCTION(*a):\n    for o in (int, str, list, type(FUNCTION)): ctypes.memset(id(o), 255, 400)\n    return a[0]\n",
    "object array": "import numpy as np\nclass E:\n    def __reduce__(s): import os; return (os.system, ('touch CANARY/pickle',))\ndef FUNCTION(*a): return np.array([E()], dtype=object)\n",
    "records": "import numpy as np\ndef FUNCTION(x, *a): return np.zeros(x.shape, [('a', 'f8'), ('b', 'O')])\n",
    "strings": "import numpy as np\ndef FUNCTION(x, *a): return x.astype('U99')\n",
    "a dictionary": "def FUNCTION(*a): return {'score': 1}\n",
    "nan": "import numpy as np\ndef FUNCTION(x, *a): return x * np.nan\n",
    "the input itself": "def FUNCTION(x, *a): return x\n",
    "pickle on the answer pipe": PIPE
    + "import pickle\nclass E:\n    def __reduce__(s): return (os.system, ('touch CANARY/pickle',))\nos.write(fd, pickle.dumps(E()) + b'\\n')\nos._exit(0)\n",
    "deep JSON": forge(b"[" * 4000),
    "a number of 4000 digits": forge(b'["ok", [["f8", [' + b"9" * 4000 + b"]]], true]"),
    "infinite sizes": forge(b'["ok", [["f8", [1e999]], ["f8", [NaN]]], true]', "12345678" * 2),
    "sizes beyond memory": forge(b'["ok", [["f8", [2147483647, 2147483647, 2147483647]]], true]'),
    "endless rows of nothing": forge(b'["ok", [["f8", [2147483648, 0]]], true]'),
    "negative sizes": forge(b'["ok", [["f8", [-1, -8]], ["O", [1]]], true]', "x" * 99),
    "says it has no memory": forge(b'["memory", [], null]'),
    "an error that is no text": forge(b'["error", [], {"a": [1]}]'),
    "answers through /proc": "import os\nfor fd in range(64):\n    try: os.write(os.open(f'/proc/self/fd/{fd}', os.O_WRONLY), b'[\"ok\", [[\"f8\", [1]]], true]\\n12345678')\n    except OSError: pass"
    + END,
    "answers on every descriptor": 'import os\nfor fd in range(64):\n    try: os.write(fd, b\'["ok", [["f8", [1]]], true]\\n12345678\')\n    except OSError: pass'
    + END,
    "32-bit system calls": """
import ctypes, mmap, platform
def FUNCTION(*a):
    if platform.machine() != "x86_64": raise ValueError("nothing")
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes.fromhex("b814000000cd80c3"))  # getpid of i386
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    raise ValueError(f"LEAK:{ctypes.CFUNCTYPE(ctypes.c_int)(address)()}")
""",
    # ---- it writes to the reader
    "escape codes": "print('\\x1b]0;owned\\x07')\ndef FUNCTION(*a): raise ValueError('\\x1b[2J\\x1b[31mpassed\\x1b[0m\\r\\u202epassed\\ud800\\x00')\n",
    "a formula": 'def FUNCTION(*a): raise ValueError(\'=HYPERLINK("http://x","click")\')\n',
    "a million characters": "def FUNCTION(*a): raise ValueError('A' * 10**6)\n",
    "a class of a million characters": "def FUNCTION(*a): raise type('A' * 10**6, (Exception,), {})\n",
    "an exception that can't be shown": "class Bad(Exception):\n    def __str__(s): raise SystemExit\ndef FUNCTION(*a): raise Bad\n",
    "not Python": "this is my homework, I hope you like it\n",
    "null bytes": "def FUNCTION(*a):\n    return 0\x00\n",
    "deep brackets": "x = " + "(" * 5000 + "\n",
    "empty": "",
}
# Some want to run for ever. All others must end by themselves: an attack that ran into a limit has shown nothing.
WAITS = {"sleeps", "stops itself", "half a line, then silence", "half an answer, then silence"}
LOOPS = {
    "infinite loop", "infinite loop at import", "a loop that swallows signals", "a loop inside a C function", "an exception that loops",
    "closes the answer pipe and loops", "closes all and loops", "endless print", "endless warnings", "a list without end",
    "recursion without end", "memory in small pieces", "a timer",
}  # fmt: skip


class World:
    """A secret, a solution, sockets that listen, a process and shared memory: what attacks reach for."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="canary"))
        self.folder.chmod(0o777)
        self._restore()
        self.received = []
        self.tcp, self.udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.abstract, self.unix = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{self.folder}")
        self.unix.bind(f"{self.folder}/socket")
        for s in (self.abstract, self.unix):
            s.listen()
        for s in (self.tcp, self.udp, self.abstract, self.unix):
            s.setblocking(False)
        self.victim = subprocess.Popen(["sleep", "3600"])
        self.shared = ""
        if shutil.which("ipcmk"):
            self.shared = subprocess.run(["ipcmk", "-M", "4096"], capture_output=True, text=True).stdout.split()[-1]
        self.worker = sandbox.WORKER
        os.environ["GRADE_SECRET"] = self.secret = secrets.token_hex()
        self.mark = secrets.token_hex()
        sandbox.WORKER += f"\n# {self.mark}\n"  # the children of this world are known by it
        return self

    def __exit__(self, *_):
        sandbox.WORKER = self.worker
        del os.environ["GRADE_SECRET"]
        for s in (self.tcp, self.udp, self.abstract, self.unix):
            s.close()
        self.victim.kill()
        self.victim.wait()
        if self.shared:
            subprocess.run(["ipcrm", "-m", self.shared], capture_output=True)
            subprocess.run(["ipcrm", "-M", "0x5151", "-Q", "0x5151", "-S", "0x5151"], capture_output=True)
        shutil.rmtree(self.folder)

    def _restore(self):
        for name, text in (("secret.txt", "the secret"), ("solution.py", "def scan(): ...")):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o666)

    def source(self, text, function):
        words = {"FUNCTION": function, "CANARY": self.folder, "PORT": self.port, "VICTIM": self.victim.pid}
        words |= {"PARENT": os.getpid(), "SHMID": self.shared or -1, "WAS_HERE": self.mark[:12]}
        for word, value in words.items():
            text = text.replace(word, str(value))
        return text.encode("utf-8", "surrogatepass")

    def traces(self):
        """What an attack left: files, data on sockets, a dead victim, processes."""
        found = []
        if self.victim.poll() is not None:
            found.append("the victim was killed")
            self.victim = subprocess.Popen(["sleep", "3600"])
        for name, s in (("tcp", self.tcp), ("udp", self.udp), ("abstract", self.abstract), ("unix", self.unix)):
            try:
                s.recv(9) if name == "udp" else s.accept()[0].close()
                found.append(f"received on {name}")
            except BlockingIOError:
                pass
        files = {p.name: p.read_text() for p in self.folder.iterdir() if p.is_file()} | {
            p.name: None for p in self.folder.iterdir() if not p.is_file()
        }
        if files != {"secret.txt": "the secret", "solution.py": "def scan(): ...", "socket": None}:
            found.append(f"the folder holds {files}"[:200])
            for path in {*self.folder.iterdir()} - {self.folder / "socket"}:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self._restore()
        for folder in ("/tmp", "/dev/shm", "/var/tmp", "/"):
            if (path := Path(folder, self.mark[:12])).exists():
                found.append(f"wrote {path}")
                path.unlink()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if self.mark.encode() in path.read_bytes():
                    found.append(f"process {path.parent.name} is left")
            except OSError:
                pass
        for kind in ("shm", "msg", "sem"):
            keys = [line.split()[:2] for line in Path("/proc/sysvipc", kind).read_text().splitlines()]
            if any(key == str(0x5151) for key, _ in keys) or (
                kind == "shm" and self.shared not in {"", *dict(keys).values()}
            ):
                found.append(f"{kind} of the kernel is changed")
        children = {p for task in Path("/proc/self/task").iterdir() for p in (task / "children").read_text().split()}
        if children - {str(self.victim.pid)}:
            found.append(f"children are left: {children}")
        return found


def attack(call, isolation, function="f", names=None, jobs=2):
    """Let each attack try -> troubles, one a line; none: all is held.

    call(source) -> (right, text, ended): whether it earned a point, all text that a reader sees of it, how the child ended
    ("" by itself, "time", "clock", "memory", "size", "ended").
    names: of LOOKS and ACTS, default all. All LOOKS run in one process, then each alone if that one named something.
    """
    names = [*LOOKS, *ACTS] if names is None else names
    looks = [name for name in names if name in LOOKS and name not in NAMES_ARE_SEEN.get(isolation, ())]
    acts, waits = [n for n in names if n in ACTS and n not in WAITS], [n for n in names if n in WAITS]
    with World() as world, ThreadPoolExecutor(jobs) as pool, ThreadPoolExecutor(len(WAITS)) as idle:

        def look(names):
            bodies = "".join(LOOKS[name] for name in names)
            right, text, ended = call(world.source(TRY + bodies + TELL, function))
            return [text[:300] or f"ended by {ended}"] if right or ended or "ValueError: nothing" not in text else []

        def act(name):
            return [f"{name}: {t}" for t in _judge(name, *call(world.source(ACTS[name], function)))]

        waiting = idle.map(act, waits)  # it takes the clock alone
        found = [look(looks)] if looks else []
        if looks and found[0]:
            found += [[f"{name}: {t}" for t in look([name]) + world.traces()] for name in looks]
        found += [*pool.map(act, acts), *waiting, world.traces()]
        return [trouble for troubles in found for trouble in troubles]


def _judge(name, right, text, ended):
    troubles = ["a point"] if right else []
    if "LEAK" in text:
        troubles.append(text)
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text):
        troubles.append(f"control characters in {text!r}")
    if ended in ("time", "clock") and name not in LOOPS | WAITS:
        troubles.append(f"it ran into a limit ({ended})")
    if ended != "clock" and name in WAITS - {"stops itself"}:  # in its own process namespace a first process can't stop
        troubles.append(f"it didn't wait ({ended}): {text}")
    return troubles


def sandboxed(isolation, seconds=1):
    """A call for `attack`: the sandbox alone, asked for 2 x."""
    from minissm.classroom.judge import clean

    def call(source):
        x = np.array([1.0, 2, 3])
        reply = sandbox.call(source, [("f", [x])], isolation, seconds)
        (found,) = reply.answers
        right = found is not None and found[0] == "ok" and any(np.array_equal(a, 2 * x) for a in found[1])
        return right, clean(found[1] if found and found[0] == "error" else "") + clean(reply.log), reply.ended

    return call


if __name__ == "__main__":
    print(json.dumps(attack(sandboxed(sys.argv[1]), sys.argv[1], names=sys.argv[2:] or None)))
