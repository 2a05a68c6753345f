"""Files that mean harm, by what they try. Each looks like a DAG file, so that Airflow's safe mode looks into it."""

from __future__ import annotations

HEAD = "# airflow dag\nimport os, sys, time, socket, signal, ctypes, threading\n"

# Ends the parsing by the limit of time, memory or output, or by the process's end. (Airflow catches a crash in C,
# and so comes back to it for ever.)
ENDED = {
    "an infinite loop": ("timeout", "while True: pass"),
    "sleep in C": ("timeout", "ctypes.CDLL(None).sleep(600)"),
    "TERM is ignored": (
        "timeout",
        """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except Exception: pass
while True:
    try: time.sleep(600)
    except BaseException: pass
""",
    ),
    "a thread without end": (
        "timeout",
        """
def spin():
    while True: pass
threads = [threading.Thread(target=spin) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
""",
    ),
    "it stops itself": ("timeout", "os.kill(os.getpid(), signal.SIGSTOP)"),
    "the lock of the interpreter": (
        "timeout",
        """
import re
re.match('(a+)+$', 'a' * 64 + 'b')
""",
    ),
    "a fork bomb": (
        "timeout",
        """
while True:
    try: os.fork()
    except OSError: time.sleep(0.01)
""",
    ),
    "it ends": ("exit", "os._exit(0)"),
    "it ends with a status": ("exit", "os._exit(3)"),
    "it ends as if there was no room for it": ("exit", "os._exit(97)"),
    "work on all cores": (
        "timeout",
        """
import hashlib
def work():
    while True: hashlib.sha256(bytes(50_000_000))
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
""",
    ),
    "it kills itself": ("exit", "os.kill(os.getpid(), signal.SIGKILL)"),
    "a gigabyte of output": (
        "output",
        """
block = b'b' * 1_000_000
for _ in range(1000): os.write(1, block)
""",
    ),
    "a gigabyte into all files": (
        "output",
        """
block = b'b' * 1_000_000
for _ in range(1000):
    for number in range(3, 64):
        try: os.write(number, block)
        except OSError: pass
""",
    ),
    "a made-up answer": (
        "exit",
        """
line = b'{"path": "dag.py", "ignored": false, "dags": [{"dag_id": "made_up", "tasks": [], "tags": []}], '
line += b'"errors": [], "variables": [], "connections": []}\\n'
print(line)
for number in (1, 2):
    os.write(number, line)
os._exit(0)
""",
    ),
    "many processes with much memory": (
        "memory",
        """
blocks = []
for _ in range(8):
    if os.fork() == 0:
        blocks = [bytearray(b'b') * (1 << 26) for _ in range(12)]
        time.sleep(600)
time.sleep(600)
""",
    ),
    "it crashes in C": ("crash", "ctypes.string_at(0)"),
}

# Comes to an end by itself, as a fault of the file: of another kind than the one that says `reached`.
REFUSED = {
    "ten gigabytes of memory": "blocks = bytearray(10 << 30)",
    "deep recursion": """
def f(): return f()
f()
""",
    "sys.exit": "sys.exit(0)",
    "a network": "socket.create_connection(('127.0.0.1', {port}), timeout=2)",
    "a name on the network": "socket.getaddrinfo('example.com', 80)",
    "a file in the bundle": "open(__file__, 'w').write('changed')",
    "a neighbour in the bundle": "open(os.path.join(os.path.dirname(__file__), 'neighbour.py'), 'w').write('changed')",
    "a file of Python": "open(os.__file__, 'a').write('changed')",
    "the configuration": "open({home!r} + '/airflow.cfg').read()",
    "the folder of Airflow": "raise ValueError('reached', os.listdir({home!r}))",
    "the environment of the service": "raise ValueError('reached', open('/proc/{pid}/environ').read())",
    "the memory of the service": "open('/proc/{pid}/mem', 'rb').read(1)",
    "a signal for the service": "os.kill({pid}, signal.SIGKILL)",
    "the service is traced": """
if ctypes.CDLL(None, use_errno=True).ptrace(16, {pid}, 0, 0) == -1: raise OSError('no ptrace')
""",
    "the hypervisor": "raise ValueError('reached', str(socket.socket(socket.AF_VSOCK)))",
    "a device": "open('/dev/mem', 'rb').read(1)",
    "a mount": """
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'tmpfs', b'/dags', b'tmpfs', 0, None) == -1: raise OSError('no mount')
""",
    "namespaces of its own": """
if ctypes.CDLL(None, use_errno=True).unshare(0x10020000) == -1: raise OSError('no namespace')
""",
    "a child in namespaces of its own": """
flags = 0x10000000 | signal.SIGCHLD
number = {'x86_64': 56, 'aarch64': 220}[os.uname().machine]
child = ctypes.CDLL(None, use_errno=True).syscall(number, flags, 0, 0, 0, 0)
if child == 0: os._exit(0)
if child == -1: raise OSError('no child')
""",
    "memory that is a file": """
while True: os.write(os.memfd_create('m'), bytes(1 << 24))
""",
    "memory that is nobody's": """
libc = ctypes.CDLL(None, use_errno=True)
if libc.shmget(0, 1 << 28, 0o1600) == -1: raise OSError('no segment')
""",
    "the first process inside is traced": """
if ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0) == -1: raise OSError('no ptrace')
""",
    "the standard input": "raise ValueError(f'read {sys.stdin.read()!r}')",
    "a full /tmp": """
for number in range(100): open(f'/tmp/{number}', 'wb').write(bytes(1 << 22))
""",
    "too many empty files": """
for number in range(10_000): open(f'/dev/shm/{number}', 'w').close()
""",
    "too many files": "files = [open('/dev/null') for _ in range(1000)]",
    "too many processes": """
for _ in range(100):
    if os.fork() == 0: time.sleep(600)
""",
    "the user root": """
os.setuid(0)
if os.getuid() == 0 and open('/etc/shadow'): raise ValueError('reached')
""",
    "passwords of the system": "raise ValueError('reached', open('/etc/shadow').read())",
    "the home of root": "raise ValueError('reached', os.listdir(os.path.expanduser('~root') + '/.ssh'))",
    "a signal for everybody": "os.kill(-1, signal.SIGKILL)",
}

# Is a DAG, and leaves somebody behind.
STRAYS = {
    "a daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(600)
    os._exit(0)
""",
    "a program": """
import subprocess
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)
""",
    "a thread": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "something at exit": """
import atexit
atexit.register(time.sleep, 600)
""",
}
GOOD = "from airflow.sdk import DAG\ndag = DAG('good', schedule=None)\n"
