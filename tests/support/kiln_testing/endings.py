"""Programs that tidy up whatever ends them, but SIGKILL."""

import contextlib
import ctypes
import signal

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1


def _leave(number, _frame):
    raise SystemExit(128 + number)


@contextlib.contextmanager
def tidied_by(tidy):
    """tidy() is called at the block's end, which comes by SystemExit with SIGHUP, SIGINT, SIGTERM, and when the parent has ended. They do not disturb tidy()."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    minded = [number for number in SIGNALS if before[number] != signal.SIG_IGN]  # nohup is obeyed
    for number in minded:
        signal.signal(number, _leave)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        yield
    finally:
        for number in minded:
            signal.signal(number, signal.SIG_IGN)
        try:
            tidy()
        finally:
            for number in minded:
                signal.signal(number, before[number])
