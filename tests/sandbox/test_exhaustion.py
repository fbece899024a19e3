"""Agents that want all of the machine: each limit holds for all processes of an agent together, and others go on."""
import pytest

MIB = 1 << 20
# The prompt is for how many seconds an agent stays after it has taken what it wants: a sandboxed one is to be ended in that time.
STAY = "import sys, time\ndef stay(): print('TOOK', flush=True); time.sleep(float(sys.stdin.read() or 0))\n"

MEMORY = {
    "in one process": "b = bytearray(160 << 20)\nb[::4096] = b'x' * len(b[::4096])\nstay()",
    "in many": "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        b = bytearray(20 << 20)\n        b[::4096] = b'x' * len(b[::4096])\n        time.sleep(60)\n        os._exit(0)\nstay()",
    "by threads whose first has ended": "import ctypes, os, threading\ndef hog():\n    while open('/proc/self/stat').read().rpartition(')')[2].split()[0] != 'Z': time.sleep(0.01)\n    b = bytearray(160 << 20)\n    b[::4096] = b'x' * len(b[::4096])\n    stay()\n    os._exit(0)\nthreading.Thread(target=hog).start()\nctypes.CDLL(None).syscall({'x86_64': 60}.get(os.uname().machine, 93), 0)",
    "in page tables": "import mmap\nm = mmap.mmap(-1, 40 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)\nfor i in range(0, len(m), 2 << 20): m[i]\nstay()",
    "shared": "import mmap\nm = mmap.mmap(-1, 160 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\nstay()",
}
DISK = {
    "in one file": "open('f', 'wb').write(b'x' * (24 << 20))\nstay()",
    "in folders that cannot be read": "import os\nfor m in (0o300, 0o400, 0):\n    os.mkdir(f'd{m}'); open(f'd{m}/f', 'wb').write(b'x' * (8 << 20)); os.chmod(f'd{m}', m)\nstay()",
    "in a workspace that cannot be read": "import os\nopen('f', 'wb').write(b'x' * (24 << 20)); os.chmod('.', 0o300)\nstay()",
    "in all three places": "import os\nfor d in ('.', os.environ['HOME'], os.environ['TMPDIR']): open(d + '/f', 'wb').write(b'x' * (8 << 20))\nstay()",
    "in files without a name": "import os\nkept = []\nfor i in range(3):\n    kept.append(open(f'f{i}', 'wb')); kept[-1].write(b'x' * (8 << 20)); kept[-1].flush(); os.unlink(f'f{i}')\nstay()",
}
LIMITS = {"KILN_AGENT_MEMORY_BYTES": str(64 * MIB), "KILN_AGENT_DISK_BYTES": str(16 * MIB)}


def run(world, sandbox, body, **limits):
    return world.run(sandbox, "#!/usr/bin/python3 -SE\n" + STAY + body + "\n", prompt="50" if sandbox == "bwrap" else "0", **{**LIMITS, **limits})


def is_ended(said, what):
    assert said["end"] == "stopped" and not said["success"] and what in said["message"], said


@pytest.mark.parametrize("how", MEMORY)
def test_memory_has_a_limit(world, how):
    is_ended(run(world, "bwrap", MEMORY[how]), "bytes of memory")


@pytest.mark.parametrize("how", DISK)
def test_disk_has_a_limit(world, how):
    is_ended(run(world, "bwrap", DISK[how]), "hold more than 16777216 bytes")


def test_the_number_of_files_has_a_limit(world):
    body = "for i in range(300): open(f'f{i}', 'w').close()\nstay()"
    is_ended(run(world, "bwrap", body, KILN_AGENT_MAX_FILES="200"), "hold more than 200 files")


def test_depth_has_a_limit(world):
    body = "import os\nfor _ in range(300): os.mkdir('d'); os.chdir('d')\nstay()"
    is_ended(run(world, "bwrap", body), "folders more than")


def test_limits_hold_also_while_an_agent_is_asked_to_end(world):
    """It takes memory only then, says so, and would say more before its grace is over."""
    body = "import signal\ndef asked(*_):\n    b = bytearray(160 << 20)\n    b[::4096] = b'x' * len(b[::4096])\n    print('TOOK', flush=True); time.sleep(30); print('KEPT', flush=True)\nsignal.signal(signal.SIGTERM, asked)\nprint('ready', flush=True)\ntime.sleep(200)"
    for timeout_ms in ("1000", "5000", "25000"):  # again when the machine was too slow for it to get ready
        said = run(world, "bwrap", body, KILN_TEST_TIMEOUT_MS=timeout_ms, KILN_KILL_GRACE_MS="60000")
        if "ready" in said["output"]:
            break
    assert said["end"] == "timed_out" and "ready" in said["output"] and "KEPT" not in said["output"], said


def test_a_file_without_a_name_counts_once_however_many_have_it_open(world):
    body = "import os\nf = open('f', 'wb'); f.write(b'x' * (6 << 20)); f.flush(); os.unlink('f')\nkept = [os.dup(f.fileno()) for _ in range(20)]\nfor _ in range(5):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(3)\nprint('kept')"
    said = run(world, "bwrap", body)
    assert said["success"] and said["output"] == "kept\n", said


def test_processor_time_has_a_limit_for_all_together(world):
    body = "import os\nfor _ in range(2):\n    if os.fork() == 0:\n        while True: pass\nstay()"
    is_ended(run(world, "bwrap", body, KILN_AGENT_CPU_S="1"), "processor time")


@pytest.mark.parametrize("body", [*MEMORY.values(), *DISK.values()], ids=[*(f"memory {how}" for how in MEMORY), *(f"disk {how}" for how in DISK)])
def test_without_a_sandbox_it_is_taken(world, body):
    said = run(world, "none", body)
    assert said["end"] == "exited" and "TOOK" in said["output"], said


def test_processes_have_a_limit_of_the_agents_own(world):
    body = "import os\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: time.sleep(60)\n        n += 1\nexcept OSError: pass\nprint(n)"
    said = run(world, "bwrap", body, KILN_AGENT_MAX_PROCESSES="40")
    # Beside the init and itself; other processes of the same user do not count.
    assert said["success"] and 30 <= int(said["output"]) < 40, said


def test_open_files_have_a_limit(world):
    body = "import os\nn = 0\ntry:\n    while n < 100000:\n        os.open('/dev/null', 0)\n        n += 1\nexcept OSError: pass\nprint(n)"
    said = run(world, "bwrap", body)
    assert said["success"] and int(said["output"]) < 16384, said


def test_shared_memory_by_name_has_a_limit(world):
    said = run(world, "bwrap", "try:\n    with open('/dev/shm/f', 'wb') as f:\n        for _ in range(100): f.write(b'x' * (1 << 20))\n    print('ESCAPED')\nexcept OSError as e: print(e.errno)")
    assert said["success"] and said["output"] == "28\n", said


def test_one_file_has_a_limit(world):
    said = run(world, "bwrap", "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ntry:\n    open('f', 'wb').write(b'x' * 200000)\n    print('ESCAPED')\nexcept OSError as e: print(e.errno)", KILN_AGENT_MAX_FILE_BYTES="100000")
    assert said["success"] and said["output"] == "27\n", said


def test_memory_that_only_a_cgroup_counts_is_refused_where_there_is_none(world):
    body = "import os, errno\nif not open('/proc/self/cgroup').read().strip().endswith('::/'): print('no group of its own')\ntry:\n    os.memfd_create('x'); print('made')\nexcept OSError as e: print('refused', e.errno == errno.ENOSYS)"
    said = run(world, "bwrap", body)
    grouped = "made" in said["output"]
    assert grouped or "refused True" in said["output"], said


def test_an_agents_standard_input_keeps_no_memory_for_it(world):
    body = "import os\nfor fd in (0, os.open('/proc/self/fd/0', os.O_RDWR)):\n    try: os.pwrite(fd, b'x', 1 << 20); print('ESCAPED')\n    except OSError as e: print(e.errno)"
    said = run(world, "bwrap", body)
    assert said["success"] and said["output"] == "1\n1\n", said


def test_when_the_machine_has_no_memory_left_an_agent_goes_first(world):
    assert run(world, "bwrap", "print(open('/proc/self/oom_score_adj').read().strip())")["output"] == "1000\n"
