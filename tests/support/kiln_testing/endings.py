"""Programs that tidy up whatever ends them, but SIGKILL."""

import contextlib
import ctypes
import os
import signal

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1
PARENT = os.getppid()  # of who has read this module, as early as it can be known


@contextlib.contextmanager
def tidied_by(tidy):
    """tidy() is called at the block's end, which comes by SystemExit with the first of SIGHUP, SIGINT, SIGTERM, and when the parent has ended.

    More of them do nothing: neither to the way out of the block nor to tidy().
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    minded = [number for number in SIGNALS if before[number] != signal.SIG_IGN]  # nohup is obeyed
    over = False

    def leave(number, _frame):
        nonlocal over
        if not over:
            over = True
            raise SystemExit(128 + number)

    try:
        try:
            for number in minded:
                signal.signal(number, leave)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != PARENT:  # it has ended before it was minded
                signal.raise_signal(signal.SIGTERM)
            yield
        finally:
            over = True  # one that comes here is still the first, and leads to tidy() too
    finally:
        for number in minded:
            signal.signal(number, signal.SIG_IGN)  # which what tidy() starts inherits
        try:
            tidy()
        finally:
            for number in minded:
                signal.signal(number, before[number])
