"""What hostile agents try. Each prints ESCAPED when it got what it was after, and TRIED at its end: without that it proves nothing.

`open`: with KILN_SANDBOX=none the same script escapes, so that it is the sandbox which holds. False where the machine refuses anyway
(an unprivileged user's kernel does), and the sandbox is the second lock."""
import dataclasses
import platform
import re

KERNEL = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", platform.release()).groups())  # what it does not have is not open anyway


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    script: str
    open: bool = True


def sh(name, body, **more):
    return Case(name, "#!/bin/bash\nexec 2>&1\n" + body + "\necho TRIED\n", **more)


def py(name, body, **more):
    head = "#!/usr/bin/python3 -SE\nimport os, sys, socket, ctypes, errno, glob, mmap, stat, struct, subprocess\nos.dup2(1, 2)\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    call = "def call(number, *arguments):\n    r = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])\n    return r if r >= 0 else -ctypes.get_errno()\n"
    indented = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return Case(name, f"{head}{call}try:\n{indented}except Exception as e:\n    print('refused', repr(e))\nprint('TRIED', flush=True)\n", **more)


def reads(name, path):
    return sh(name, f"grep -q {{SECRET}} {path} && echo ESCAPED")


def connects(name, create, address):
    return py(name, f"s = {create}\ns.settimeout(5)\ns.connect({address})\nif b'GREETING' in s.recv(100): print('ESCAPED')")


def refused_call(name, number, arguments, **more):
    """A system call that must be refused by the filter: EPERM or ENOSYS. Off: any other answer, since it gets to the kernel."""
    return py(name, f"r = call({number}, {arguments})\nif r not in (-errno.EPERM, -errno.ENOSYS): print('ESCAPED', r)", **more)


READING = [
    reads("a file of the host", "{ROOT}/host/secret"),
    reads("credentials", "{ROOT}/credentials/git.json"),
    reads("another build's workspace", "{ROOT}/state/work/other/files/secret"),
    reads("another build's home", "{ROOT}/state/work/other/home/secret"),
    reads("another build's session", "{ROOT}/state/sessions/project.build.session"),
    reads("another repository's mirror", "{ROOT}/state/mirrors/other.git/objects/secret"),
    sh("the host's accounts", "grep -qv '^root:\\|^agent:\\|^nobody:' /etc/passwd && echo ESCAPED"),
    sh("the host's configuration", "[ -e /etc/fstab -o -e /etc/debian_version -o -e /etc/shadow ] && echo ESCAPED"),
    sh("the host's homes and state", "for d in /root /var/lib /var/cache /opt /srv /boot /sys/class /mnt; do [ -e $d ] && echo ESCAPED; done"),
    sh("the way up from the workspace", "cd ..; cd ../../..; [ -e {ROOT} ] && ls {ROOT} | grep -q host && echo ESCAPED"),
    sh("the environment of the executor", "grep -qa {SECRET} /proc/[0-9]*/environ && echo ESCAPED"),
    sh("other processes' command lines", "tr '\\0' ' ' </proc/1/cmdline | grep -q '/run/kiln/init' || echo ESCAPED; cat /proc/[0-9]*/cmdline | grep -qa conf[i]ne && echo ESCAPED"),
    py("the memory of the executor", """
for maps in glob.glob('/proc/[0-9]*/maps'):
    pid = int(maps.split('/')[2])
    if pid == os.getpid(): continue
    try:
        for line in open(maps):
            if '[stack]' not in line: continue
            a, b = (int(x, 16) for x in line.split()[0].split('-'))
            with open(f'/proc/{pid}/mem', 'rb') as f:
                f.seek(a)
                if b'{SECRET}' in f.read(b - a): print('ESCAPED')
    except OSError: pass
"""),
    sh("descriptors that were left open", "for f in /proc/$$/fd/*; do case $(readlink $f) in *locks*|*socket*|*seccomp*|*etc*) echo ESCAPED;; esac; done; "
       "[ $(ls /proc/$$/fd | wc -l) -gt 5 ] && echo ESCAPED", open=False),
    sh("the first process's root and descriptors", "ls /proc/1/root/ && echo ESCAPED; ls /proc/1/fd/ && echo ESCAPED; cat /proc/1/environ && echo ESCAPED", open=False),
]

WRITING = [
    sh("a file where anybody may write", "echo x >{ROOT}/outside/f && echo ESCAPED; mkdir -p {ROOT}/outside/d && [ -e {ROOT}/outside/../host ] && echo ESCAPED"),
    sh("the root", "touch /x && echo ESCAPED; mkdir /y && echo ESCAPED; touch /etc/x /run/x /run/kiln/x /var/x /home/x /dev/x && echo ESCAPED; echo x >>/etc/passwd && echo ESCAPED", open=False),
    sh("programs", "touch /usr/x /usr/bin/x && echo ESCAPED; echo x >/usr/bin/env && echo ESCAPED; echo x >$0 && echo ESCAPED", open=False),
    sh("the sandbox's own init", "echo x >/run/kiln/init && echo ESCAPED; rm -f /run/kiln/init && [ -d /run/kiln ] && echo ESCAPED", open=False),
    sh("the mirror's objects", "o=$KILN_TEST_NONE; for o in /run/kiln/objects {ROOT}/objects; do echo x >$o/poison && echo ESCAPED; echo x >>$o/pack/pack-1.pack && echo ESCAPED; "
       "rm $o/pack/pack-1.pack && echo ESCAPED; chmod 777 $o && echo ESCAPED; done"),
    sh("kernel settings", "echo 1 >/proc/sys/kernel/core_pattern && echo ESCAPED; echo b >/proc/sysrq-trigger && echo ESCAPED; echo 0 >/proc/sys/net/ipv4/ip_forward && echo ESCAPED", open=False),
]

LINKS = [
    sh("a symbolic link out", "ln -s {ROOT}/host/secret l && grep -q {SECRET} l && echo ESCAPED"),
    sh("a symbolic link for the home", "ln -s {ROOT} $HOME/up && grep -q {SECRET} $HOME/up/host/secret && echo ESCAPED"),
    sh("a hard link to a borrowed object", "for o in /run/kiln/objects {ROOT}/objects; do ln $o/pack/pack-1.pack hard && echo ESCAPED; done"),
    py("/proc's links", """
for link in [*glob.glob('/proc/[0-9]*/root'), *glob.glob('/proc/[0-9]*/cwd')]:
    try:
        if '{SECRET}' in open(link + '{ROOT}/host/secret').read(): print('ESCAPED')
    except OSError: pass
"""),
    sh("a bind mount", "mkdir m; mount --bind / m && echo ESCAPED; mount -t tmpfs none m && echo ESCAPED; mount -t proc proc m && echo ESCAPED", open=False),
    sh("unmounting", "umount /proc && echo ESCAPED; umount -l /workspace && echo ESCAPED; mount -o remount,rw / && echo ESCAPED", open=False),
    py("chroot and fchdir out", "os.mkdir('r'); d = os.open('/', os.O_RDONLY); os.chroot('r'); print('ESCAPED')", open=False),
]

PRIVILEGES = [
    py("a set-user-id file", "open('s', 'w').close(); os.chmod('s', 0o4755)\nif os.stat('s').st_mode & stat.S_ISUID: print('ESCAPED')"),
    py("a set-group-id file", "open('s', 'w').close(); os.chmod('s', 0o2755)\nif os.stat('s').st_mode & stat.S_ISGID: print('ESCAPED')"),
    py("a set-user-id file as it is made", "os.close(os.open('t', os.O_CREAT | os.O_WRONLY, 0o4755))\nif os.stat('t').st_mode & stat.S_ISUID: print('ESCAPED')"),
    sh("set-user-id programs of the host", "grep -q 'NoNewPrivs:.1' /proc/self/status || echo ESCAPED; grep ' /usr ' /proc/mounts | grep -q nosuid || echo ESCAPED"),
    sh("capabilities", "grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv '0000000000000000$' && echo ESCAPED"),
    sh("a user namespace", "unshare -Ur true && echo ESCAPED"),
    sh("a user namespace by bubblewrap", "bwrap --unshare-user --ro-bind / / true && echo ESCAPED"),
    py("a user namespace by clone", "r = call(56, 0x10000000 | 17, 0, 0, 0, 0)\nif r == 0: os._exit(0)\nif r > 0: print('ESCAPED')"),
    py("a user namespace by clone3", "a = struct.pack('11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)\nr = call(435, a, len(a))\nif r == 0: os._exit(0)\nif r > 0: print('ESCAPED')"),
    py("root", "os.setuid(0); print('ESCAPED')", open=False),
    py("a device", "os.mknod('d', stat.S_IFBLK | 0o666, os.makedev(254, 0)); print('ESCAPED')", open=False),
    sh("disks", "ls /dev | grep -E '^(sd|vd|nvme|loop|mem|kmem|port|kvm|fuse|vsock|vhost)' && echo ESCAPED"),
]

# By number, as an attacker would: x86-64 (the tests' machine); elsewhere these are other calls, and the table is skipped.
CALLS = [
    refused_call("ptrace", 101, "0, 0, 0, 0"),
    refused_call("ptrace of another", 101, "16, os.getppid(), 0, 0", open=False),
    refused_call("process_vm_readv", 310, "os.getppid(), 0, 0, 0, 0, 0"),
    refused_call("pidfd_getfd", 438, "-1, 0, 0"),
    refused_call("keyctl", 250, "0, -3, 0, 0, 0"),
    refused_call("add_key", 248, "0, 0, 0, 0, 0"),
    refused_call("bpf", 321, "0, 0, 0", open=False),
    refused_call("userfaultfd", 323, "1"),
    refused_call("perf_event_open", 298, "0, 0, -1, -1, 0"),
    refused_call("io_uring_setup", 425, "1, 0"),
    refused_call("fsopen", 430, "0, 0", open=False),
    refused_call("open_tree", 428, "-100, b'/', 0"),
    refused_call("setns", 308, "-1, 0"),
    refused_call("kexec_load", 246, "0, 0, 0, 0", open=False),
    refused_call("init_module", 175, "0, 0, 0", open=False),
    refused_call("open_by_handle_at", 304, "-1, 0, 0", open=False),
    refused_call("a call that is newer than the filter", 460, "0, 0, 0", open=KERNEL >= (6, 8)),
    refused_call("fchmodat2, which sets modes too", 452, "-100, b's', 0o4755, 0", open=KERNEL >= (6, 6)),
    refused_call("openat2", 437, "-100, b'/', 0, 0"),
    refused_call("typing into a terminal", 16, "0, 0x5412, b'x'"),
    refused_call("the same with the register's other half filled", 16, "0, 0x100005412, b'x'"),
]

NETWORK = [
    connects("loopback, where Kafka and Postgres are", "socket.socket()", "('127.0.0.1', {PORT})"),
    connects("all addresses of this machine", "socket.socket()", "('0.0.0.0', {PORT})"),
    connects("loopback by IPv6", "socket.socket(socket.AF_INET6)", "('::ffff:127.0.0.1', {PORT})"),
    connects("a Unix socket in the file system", "socket.socket(socket.AF_UNIX)", "'{SOCKET}'"),
    connects("an abstract Unix socket", "socket.socket(socket.AF_UNIX)", "'\\0{ABSTRACT}'"),
    py("interfaces", "if set(socket.if_nameindex()) - {(1, 'lo')}: print('ESCAPED')"),
    py("the metadata address", "s = socket.socket(); s.settimeout(1); s.connect(('169.254.169.254', 80)); print('ESCAPED')", open=False),
    py("a route to anywhere", "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 53)); print('ESCAPED')"),
    py("a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('ESCAPED')", open=False),
    py("a packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3); print('ESCAPED')", open=False),
    py("protocols that the kernel would load a module for", "for kind, protocol in ((1, 132), (2, 115), (2, 136), (1, 262), (2, 1)):\n    for family in (2, 10):\n        r = call(41, family, kind, protocol)\n        if r != -errno.EPROTONOSUPPORT: print('ESCAPED', family, kind, protocol, r)"),
    py("the protocols that it may have", "for kind, protocol in ((1, 0), (1, 6), (2, 0), (2, 17)):\n    for family in (2, 10):\n        r = call(41, family, kind | 0o2004000, protocol)\n        if r in (-errno.EPERM, -errno.EPROTONOSUPPORT): print('ESCAPED', family, kind, protocol, r)", open=False),
    py("the machine's host by vsock", "r = call(41, 40, 1, 0)\nif r not in (-errno.EPERM,): print('ESCAPED', r)"),
    py("the kernel's cryptography", "r = call(41, 38, 5, 0)\nif r not in (-errno.EPERM,): print('ESCAPED', r)"),
    py("a family with the register's other half filled", "r = call(41, 0x100000028, 1, 0)\nif r not in (-errno.EPERM,): print('ESCAPED', r)"),
    py("netlink beyond routes", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9); print('ESCAPED')"),
]

PROCESSES = [
    py("signals to others", "import signal\nfor p in glob.glob('/proc/[0-9]*'):\n    pid = int(p[6:])\n    if pid not in (1, os.getpid()):\n        try:\n            os.kill(pid, 0); print('ESCAPED')\n        except OSError: pass"),
    py("the end of the init", "import signal\nos.kill(1, signal.SIGKILL); os.kill(1, signal.SIGTERM)\nprint('still', open('/proc/1/comm').read())", open=False),
    sh("another host name", "[ \"$(hostname)\" = kiln ] || echo ESCAPED"),
]

ALL = [*READING, *WRITING, *LINKS, *PRIVILEGES, *NETWORK, *PROCESSES]
