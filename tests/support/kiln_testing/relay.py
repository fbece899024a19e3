"""What stands between one service and another that a test takes away from it alone: a TCP relay."""

import contextlib
import socket
import struct
import threading
import urllib.parse

from .services import environment_of, ready_gateway


class Relay:
    """Passes connections on; or refuses new ones, or holds them: taken, and never answered; or is mute: what is sent arrives, on old ones too,
    and no answer comes back; or stalls: as mute, but the answers come when the mode is another one."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._lock = threading.Condition()  # told of changes of the mode
        self._sockets = []
        self._mode = "pass"
        self._mute_after = None
        self._record = None
        self._muted = set()  # of the sockets to the target, those an answer of which was lost
        self.asked = self.passed = 0  # connections that are passed on, since the mode changed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @classmethod
    def of_url(cls, url):
        """(relay, the URL that leads through it)."""
        parts = urllib.parse.urlsplit(url)
        relay = cls(parts.hostname, parts.port)
        user, at, _ = parts.netloc.rpartition("@")
        return relay, parts._replace(netloc=f"{user}{at}127.0.0.1:{relay.port}").geturl()

    def set_mode(self, mode, cut=False, mute_after=None):
        """`cut`: also ends what there is; those that are held or have lost an answer end in any case. `mute_after`: who sends these bytes
        gets no answer any more, to them neither."""
        assert mode in ("pass", "refuse", "hold", "mute", "stall")
        with self._lock:
            self._end(self._sockets if cut else [pair for pair in self._sockets if len(pair) == 1 or pair[1] in self._muted])
            self._mode, self._mute_after, self.asked, self.passed = mode, mute_after, 0, 0
            self._lock.notify_all()

    @contextlib.contextmanager
    def stalled(self):
        """No answers until the end of the block; gives what is sent meanwhile."""
        self.set_mode("stall")
        try:
            yield self.record()
        finally:
            self.set_mode("pass")

    def record(self):
        """All bytes that are sent to the target from now on, in the order of their coming; connections are not told apart."""
        with self._lock:
            self._record = bytearray()
        return self._record

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.set_mode("refuse", cut=True)

    def _end(self, pairs):
        for sock in (sock for pair in pairs for sock in pair):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            self._muted.discard(sock)
        self._sockets = [pair for pair in self._sockets if pair not in pairs]

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                self._take(sock)

    def _take(self, sock):
        self.asked += 1
        if self._mode == "hold":
            self._sockets.append([sock])
            return
        try:
            other = socket.create_connection(self._target, timeout=30) if self._mode in ("pass", "mute", "stall") else None
        except OSError:
            other = None
        if other is None:
            sock.close()
            return
        other.settimeout(None)
        self.passed += 1
        self._sockets.append([sock, other])
        asked, answered = _Sink(other, self._listen(other)), _Sink(sock, lambda _: self._lets_answer(other))
        for source, sink, pass_on in ((sock, asked, _pass_on), (other, answered, self._answer)):
            threading.Thread(target=_pump, args=(source, sink, pass_on), name="relay-pump", daemon=True).start()

    def _answer(self, source, sink):
        """What comes back, until it ends."""
        _pass_on(source, sink)

    def _listen(self, other):
        """What looks at all that is sent to it."""
        before = b""

        def listen(data):
            nonlocal before
            with self._lock:
                if self._record is not None:
                    self._record += data
                mark = self._mute_after
                if mark is not None and mark in before + data:
                    self._muted.add(other)
                before = (before + data)[1 - len(mark) :] if mark is not None else b""
            return True

        return listen

    def _lets_answer(self, other):
        with self._lock:
            self._lock.wait_for(lambda: self._mode != "stall")
            if self._mode == "mute":
                self._muted.add(other)
            return other not in self._muted


class _Sink:
    """A socket to which only goes what somebody lets through."""

    def __init__(self, sock, lets):
        self._sock = sock
        self._lets = lets

    def sendall(self, data):
        if self._lets(data):
            self._sock.sendall(data)

    def shutdown(self, how):
        self._sock.shutdown(how)


class KafkaRelay(Relay):
    """To a Kafka of one broker, whose answers give its address: there it is the relay's, so that clients come back."""

    @classmethod
    def of_brokers(cls, brokers):
        """(relay, the brokers that lead through it)."""
        assert "," not in brokers, "one broker"
        host, _, port = brokers.rpartition(":")
        relay = cls(host, int(port))
        return relay, f"{host}:{relay.port}"

    def _answer(self, source, sink):
        host, port = self._target
        named, instead = (host.encode() + struct.pack(">i", number) for number in (port, self.port))
        with source.makefile("rb") as answers:
            while len(size := answers.read(4)) == 4:
                sink.sendall(size + answers.read(*struct.unpack(">i", size)).replace(named, instead))


@contextlib.contextmanager
def far_gateway(system, **variables):
    """(one more gateway, the relay to its Postgres, the relay to its Kafka)"""
    environment = environment_of(system.pids("GATEWAY")[0])
    postgres, url = Relay.of_url(environment["KILN_DATABASE_URL"])
    kafka, brokers = KafkaRelay.of_brokers(environment["KILN_KAFKA_BROKERS"])
    try:
        with ready_gateway(system, KILN_DATABASE_URL=url, KILN_KAFKA_BROKERS=brokers, **variables) as gateway:
            yield gateway, postgres, kafka
    finally:
        postgres.close()
        kafka.close()


def _pass_on(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)


def _pump(source, sink, pass_on):
    with contextlib.suppress(OSError):
        pass_on(source, sink)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
