"""What a validated file tries where no namespaces separate it from the service.

Each attack raises `ValueError("reached", …)` if it succeeds. `{pid}` is the service, `{folder}` its folder, `{port}` a
port at which it listens.
"""

from __future__ import annotations

HEAD = """# airflow dag
import ctypes, fcntl, os, resource, shutil, signal, socket, sqlite3, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
pid, port, folder = {pid}, {port}, {folder!r}
home, bundle = folder + "/home", folder + "/bundle"
neighbour = bundle + "/neighbour.py"
def reached(*facts): raise ValueError("reached", *facts)
def checked(result):
    if result == -1: raise OSError(ctypes.get_errno(), "failed")
def called(x86, arm, *arguments):
    number = {{"x86_64": x86, "aarch64": arm}}[os.uname().machine]
    checked(libc.syscall(number, *arguments))
"""

FILES = {
    "the configuration": "reached(open(home + '/airflow.cfg').read())",
    "the folder of Airflow": "reached(os.listdir(home))",
    "the folder of the service": "reached(os.listdir(folder))",
    "the root folder": "reached(os.listdir('/'))",
    "the database": "reached(sqlite3.connect(home + '/airflow.db').execute('select * from secrets').fetchall())",
    "a change of the database": """
with sqlite3.connect(home + '/airflow.db') as database: database.execute('delete from secrets')
reached()
""",
    "the configuration through its own root": "reached(open('/proc/self/root' + home + '/airflow.cfg').read())",
    "a link to the configuration": """
os.symlink(home + '/airflow.cfg', os.environ['TMPDIR'] + '/link')
reached(open(os.environ['TMPDIR'] + '/link').read())
""",
    "a hard link to the configuration": """
os.link(home + '/airflow.cfg', os.environ['TMPDIR'] + '/hard')
reached(open(os.environ['TMPDIR'] + '/hard').read())
""",
    "the configuration by a program": "reached(subprocess.check_output(['/bin/cat', home + '/airflow.cfg']))",
    "the configuration by descriptor": "reached(os.open(home + '/airflow.cfg', os.O_RDONLY | os.O_NOFOLLOW))",
    "the environment of the service": "reached(open(f'/proc/{pid}/environ').read())",
    "the memory of the service": "open(f'/proc/{pid}/mem', 'rb'); reached()",
    "the map of the service": "reached(open(f'/proc/{pid}/maps').read(10))",
    "the command line of the service": "reached(open(f'/proc/{pid}/cmdline').read())",
    "the files of the service": "reached(os.listdir(f'/proc/{pid}/fd'))",
    "the root of the service": "reached(open(f'/proc/{pid}/root{home}/airflow.cfg').read())",
    "the environment of the fork server": "reached(open(f'/proc/{os.getppid()}/environ').read())",
    "other submissions": "reached(os.listdir(folder + '/tmp') or os.listdir('/tmp'))",
    "passwords of the system": "reached(open('/etc/shadow').read())",
    "the history of the bundle": "reached(open(bundle + '/.git/config').read())",
    "a hidden folder of the bundle": "reached(open(bundle + '/hidden/password').read())",
    "a secret of the environment": """
found = [name for name, value in os.environ.items() if 'secret' in value]
if found: reached(found)
""",
    "the secrets of Airflow's configuration": """
from airflow.configuration import conf
found = [conf.get('database', 'sql_alchemy_conn'), conf.get('core', 'fernet_key'), conf.get('api_auth', 'jwt_secret')]
if any('secret' in value for value in found): reached(found)
""",
    "a variable of Airflow": """
from airflow.sdk import Variable
reached(Variable.get('stolen'))
""",
}
CHANGES = {
    "writing": "open(neighbour, 'w').write('changed'); reached()",
    "writing by its place": "open(__file__, 'w').write('changed'); reached()",
    "writing through a link": "open('neighbour.py', 'a').write('changed'); reached()",
    "a new file": "open(bundle + '/new.py', 'w').write('new'); reached()",
    "a new folder": "os.mkdir(bundle + '/new'); reached()",
    "a removed file": "os.unlink(neighbour); reached()",
    "a moved file": "os.rename(neighbour, os.environ['TMPDIR'] + '/moved'); reached()",
    "a replaced file": """
open(os.environ['TMPDIR'] + '/other', 'w').write('changed')
os.rename(os.environ['TMPDIR'] + '/other', neighbour)
reached()
""",
    "a link in the bundle": "os.symlink('/etc/passwd', bundle + '/link'); reached()",
    "a hard link to the bundle": "os.link(neighbour, bundle + '/hard'); reached()",
    "truncation": "os.truncate(neighbour, 0); reached()",
    "truncation by reading": "os.open(neighbour, os.O_RDONLY | os.O_TRUNC); reached()",
    "truncation without reading": "os.open(neighbour, os.O_TRUNC | os.O_ACCMODE); reached()",
    "truncation by openat2": """
how = struct.pack('QQQ', os.O_RDONLY | os.O_TRUNC, 0, 0)
called(437, 437, -100, neighbour.encode(), how, len(how))
reached()
""",
    "another mode": "os.chmod(neighbour, 0o777); reached()",
    "another mode by descriptor": "os.fchmod(os.open(neighbour, os.O_RDONLY), 0o777); reached()",
    "another mode of the configuration": "os.chmod(home + '/airflow.cfg', 0o666); reached()",
    "another owner": "os.chown(neighbour, os.getuid(), os.getgid()); reached()",
    "another time": "os.utime(neighbour, (0, 0)); reached()",
    "an attribute": "os.setxattr(neighbour, 'user.mark', b'x'); reached()",
    "flags of a file": "fcntl.ioctl(os.open(neighbour, os.O_RDONLY), 0x40086602, struct.pack('l', 0x40)); reached()",
    "a lease": "fcntl.fcntl(os.open(neighbour, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK); reached()",
    "watching": """
checked(watcher := libc.inotify_init())
checked(libc.inotify_add_watch(watcher, home.encode(), 0xfff))
reached()
""",
    "a file of Python": "open(os.__file__, 'a').write('changed'); reached()",
}
NETWORK = {
    "TCP": "socket.create_connection(('127.0.0.1', port), timeout=2); reached()",
    "UDP": "reached(socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port)))",
    "a name": "reached(socket.getaddrinfo('example.com', 80))",
    "a socket of this machine": "socket.socket(socket.AF_UNIX).connect(folder + '/stream.socket'); reached()",
    "an abstract socket": "socket.socket(socket.AF_UNIX).connect(f'\\0{folder}-stream'); reached()",
    "a datagram from a pair": """
first, _ = socket.socketpair(type=socket.SOCK_DGRAM)
reached(first.sendto(b'x', f'\\0{folder}-datagram'))
""",
    "a message from a pair": """
first, _ = socket.socketpair(type=socket.SOCK_SEQPACKET)
reached(first.sendmsg([b'x'], [], 0, f'\\0{folder}-datagram'))
""",
    "a pair that is connected again": """
first, _ = socket.socketpair()
first.connect(folder + '/stream.socket')
reached()
""",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); reached()",
    "the hypervisor": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); reached()",
    "the kernel's ciphers": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET); reached()",
    "a port of its own": "reached(socket.create_server(('127.0.0.1', 0)))",
    "the network by a program": """
code = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)"
if subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL).returncode == 0: reached()
raise OSError('kept')
""",
}
PROCESSES = {
    "a signal": "os.kill(pid, signal.SIGSTOP); reached()",
    "whether it is there": "os.kill(pid, 0); reached()",
    "a signal for a group": "os.killpg(os.getpgid(pid), signal.SIGCONT); reached()",
    "a signal for its parent": "os.kill(os.getppid(), signal.SIGKILL); reached()",
    "a signal for a thread": "called(234, 131, pid, pid, 10); reached()",
    "a signal for a thread alone": "called(200, 130, pid, 10); reached()",
    "a signal by descriptor": "signal.pidfd_send_signal(os.pidfd_open(pid), 10); reached()",
    "a signal with a value": "called(129, 138, pid, 10, struct.pack('iii116x', 10, 0, -1)); reached()",
    "a signal from a file": """
reader, writer = os.pipe()
fcntl.fcntl(reader, fcntl.F_SETOWN, pid)
fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(writer, b'x')
reached()
""",
    "a signal from a socket": """
first, second = socket.socketpair()
fcntl.ioctl(first, 0x8901, struct.pack('i', pid))
reached()
""",
    "tracing": "checked(libc.ptrace(16, pid, 0, 0)); reached()",
    "its memory": """
buffer = ctypes.create_string_buffer(8)
local, remote = struct.pack('QQ', ctypes.addressof(buffer), 8), struct.pack('QQ', 0x400000, 8)
called(310, 270, pid, local, 1, remote, 1, 0)
reached()
""",
    "its descriptors": "called(438, 438, os.pidfd_open(pid), 0, 0); reached()",
    "its limits": "resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)); reached()",
    "the number of its files": "resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)); reached()",
    "its priority": "os.setpriority(os.PRIO_PROCESS, pid, 19); reached()",
    "the priority of the user": "os.setpriority(os.PRIO_USER, os.getuid(), 19); reached()",
    "its processors": "os.sched_setaffinity(pid, {0}); reached()",
    "its scheduling": "os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)); reached()",
    "queues": "called(240, 180, b'queue', os.O_CREAT | os.O_RDWR, 0o600, None); reached()",
    "segments": "called(31, 195, 0, 0, None); reached()",
}
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        libc.prctl(15, b'left-behind', 0, 0, 0)
        os.closerange(0, 64)
        time.sleep(600)
    os._exit(0)
"""
# Each kills what is left of the cell, or tries to outlive it, so it is parsed by itself.
ALONE = {
    "a signal for all": "os.kill(-1, signal.SIGKILL)",
    "a kill": "os.kill(pid, signal.SIGKILL)",
    "a daemon": DAEMON,
    "folders within folders": """
os.chdir(os.environ['TMPDIR'])
for _ in range(3000):
    os.mkdir('x')
    os.chdir('x')
""",
    "a full disk": """
for number in range(200):
    with open(os.environ['TMPDIR'] + f'/{number}', 'wb') as file: file.write(bytes(1 << 20))
time.sleep(60)
""",
    "a full disk without names": """
libc.prctl(4, 0, 0, 0, 0)
files = []
for number in range(50):
    path = os.environ['TMPDIR'] + '/gone'
    files.append(open(path, 'wb', buffering=0))
    os.unlink(path)
    files[-1].write(bytes(4 << 20))
time.sleep(60)
""",
    "too many files": """
for number in range(100_000): open(os.environ['TMPDIR'] + f'/{number}', 'w').close()
time.sleep(60)
""",
}
# Of these, those that the warden ends because of what they write.
FLOODS = ("a full disk", "a full disk without names", "too many files")
TOGETHER = {**FILES, **CHANGES, **NETWORK, **PROCESSES}
