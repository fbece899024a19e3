"""TLS of the API: what is spoken, and a certificate that is replaced while the gateway runs."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile

import pytest
from kiln_testing import raw
from kiln_testing.agents import waiting_spec
from kiln_testing.client import Client
from kiln_testing.services import environment_of, ready_gateway
from kiln_testing.waiting import wait_for


class Certificate:
    """Two PEM files in a folder that the run user may read."""

    def __init__(self, system):
        self.system = system
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-test-tls-"))
        self.folder.chmod(0o755)
        self.cert, self.key = self.folder / "cert.pem", self.folder / "key.pem"

    def write(self, name):
        """A new self-signed one in place of the old one, the key first."""
        new = [self.folder / "new-key.pem", self.folder / "new-cert.pem"]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        subprocess.run(
            [*command, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", new[0], "-out", new[1]],
            check=True,
            capture_output=True,
        )
        for file, place in zip(new, (self.key, self.cert), strict=True):
            self.system.give(file, 0o600)
            os.replace(file, place)
        return self

    def variables(self):
        return {"KILN_TLS_CERT_FILE": str(self.cert), "KILN_TLS_KEY_FILE": str(self.key)}


@pytest.fixture(name="secure", scope="module")
def secure_fixture(shared_system):
    certificate = Certificate(shared_system).write("first")
    with ready_gateway(shared_system, **certificate.variables()) as gateway:
        gateway.certificate = certificate
        gateway.address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        gateway.url = gateway.url.replace("http:", "https:")
        yield gateway
    shutil.rmtree(certificate.folder)


def context(*protocols, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.minimum_version, made.maximum_version = lowest, highest
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


@contextlib.contextmanager
def connected(gateway, made):
    with socket.create_connection(gateway.address, timeout=60) as plain, made.wrap_socket(plain) as sock:
        yield sock


def shown_name(gateway):
    """The subject that a new connection sees."""
    with connected(gateway, context()) as sock:
        text = subprocess.run(
            ["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=sock.getpeercert(True), check=True, capture_output=True
        ).stdout.decode()
        return text.strip().rpartition("=")[2].strip()


def ask(sock):
    """A request on an open connection: the status line."""
    sock.sendall(b"GET /problems/internal HTTP/1.1\r\nHost: x\r\n\r\n")
    with sock.makefile("rb") as file:
        line = file.readline()
        fields = dict(field.lower().split(b":", 1) for field in iter(file.readline, b"\r\n"))
        file.read(int(fields[b"content-length"]))
    return line


def opened(stack, client, path):
    """A stream, once the gateway could decide in its time."""

    def decided():
        one = client.http.stream("GET", path, headers={"Accept": "text/event-stream"})
        answer = one.__enter__()
        stack.push(one)
        if answer.status_code == 503:
            answer.close()
            return None
        return answer

    answer = wait_for(decided, f"a decision about {path}", poll=0.5)
    assert answer.status_code == 200
    return answer


def test_the_api_is_there_by_tls(kiln, secure):
    client = Client(secure.url, kiln.api.token)
    project = client.post("/projects", {"name": kiln.name()}, expect=201).json()
    assert client.get(f"/projects/{project['id']}", expect=200).json()["name"] == project["name"]


def test_an_event_stream_is_there_by_tls(kiln, secure):
    task = kiln.post(kiln.project(), waiting_spec())
    client = Client(secure.url, kiln.api.token, timeout=60)
    with contextlib.ExitStack() as stack:
        lines = opened(stack, client, f"/builds/{task}/events").iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: build.pending"
    kiln.cancel(task)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(secure, version):
    with connected(secure, context(lowest=version, highest=version)) as sock:
        assert ask(sock) == ask(sock) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_not(secure):
    with pytest.raises(ssl.SSLError), connected(secure, context(lowest=ssl.TLSVersion.TLSv1, highest=ssl.TLSVersion.TLSv1_1)):
        pass


def test_alpn_knows_http_1_1_alone(secure):
    with connected(secure, context("h2", "http/1.1")) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert ask(sock) == b"HTTP/1.1 200 OK\r\n"
    with pytest.raises(ssl.SSLError), connected(secure, context("h2")):
        pass


def test_plain_http_to_its_port_gets_no_answer(secure):
    with socket.create_connection(secure.address, timeout=60) as sock:
        sock.sendall(b"GET /problems/internal HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP/" not in sock.recv(4096)


def test_a_refusal_ends_as_tls_says(secure):
    """With close_notify: the client knows that nobody has cut the answer off."""
    with socket.create_connection(secure.address, timeout=60) as plain:
        with context().wrap_socket(plain, suppress_ragged_eofs=False) as sock:
            sock.sendall(b"POST /projects HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + bytes(1000))
            received = b""
            while chunk := sock.recv(65536):
                received += chunk
    assert received.startswith(b"HTTP/1.1 413 ") and received.endswith(b"}")


def test_handshakes_that_never_begin_keep_nobody_out(kiln, secure):
    task = kiln.post(kiln.project(), waiting_spec())
    limits = {"KILN_MAX_CONNECTIONS": "8", "KILN_HEADER_TIMEOUT_MS": "600000", "KILN_THREADS": "1"}
    with ready_gateway(kiln.system, **secure.certificate.variables(), **limits) as gateway, contextlib.ExitStack() as stack:
        gateway.address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        client = Client(gateway.url.replace("http:", "https:"), kiln.api.token, timeout=60)
        lines = opened(stack, client, f"/builds/{task}/events").iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: build.pending"
        silent = [stack.enter_context(socket.create_connection(gateway.address, timeout=60)) for _ in range(7)]
        wait_for(lambda: gateway.metric("kiln_http_connections") == 8, "a full house")
        with connected(gateway, context()) as sock:
            assert ask(sock) == b"HTTP/1.1 200 OK\r\n"
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(100) == b""  # the oldest one had to go
        kiln.cancel(task)
        assert next(line for line in lines if line.startswith("event:"))  # the stream has stayed


class Handshake:
    """A client's side of it, byte by byte."""

    def __init__(self, sock, version):
        self.sock = sock
        self.read, self.write = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(lowest=version, highest=version).wrap_bio(self.read, self.write)

    def flight(self):
        """What the client has to say next."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.write.read()

    def next_flight(self):
        """The same after what the gateway has to say."""
        while not (data := self.flight()):
            received = self.sock.recv(65536)
            assert received
            self.read.write(received)
        return data


# -- slow clients


@pytest.fixture(name="hasty", scope="module")
def hasty_fixture(shared_system, secure):
    """The same with short deadlines."""
    deadlines = {f"KILN_{name}_TIMEOUT_MS": "700" for name in ("HEADER", "BODY", "IDLE")}
    with ready_gateway(shared_system, **secure.certificate.variables(), **deadlines) as gateway:
        gateway.address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        yield gateway


def client_hello():
    """What a client says first."""
    return Handshake(None, ssl.TLSVersion.TLSv1_3).flight()


def cut_for(gateway, reason):
    return gateway.metric(f'kiln_http_cut_connections_total{{reason="{reason}"}}')


def serves(gateway):
    """A client that comes now gets its answer; not when the deadlines were too short for this machine."""
    with contextlib.suppress(OSError, ValueError), connected(gateway, context()) as sock:
        return ask(sock) == b"HTTP/1.1 200 OK\r\n"
    return False


@pytest.mark.parametrize("said", [0, 1, 100], ids=["nothing", "a byte", "a part"])
def test_a_handshake_that_stalls_is_cut(hasty, said):
    with socket.create_connection(hasty.address, timeout=60) as sock:
        sock.sendall(client_hello()[:said])
        wait_for(lambda: serves(hasty), "another client to be served")
        assert raw.read_all(sock) == b""


def test_a_handshake_that_drips_in_is_cut(hasty):
    with socket.create_connection(hasty.address, timeout=60) as sock:
        assert raw.drip(sock, client_hello()) == b""


def test_a_head_that_drips_in_by_tls_is_cut_while_others_are_served(hasty):
    before = cut_for(hasty, "head")
    with connected(hasty, context()) as sock:
        sock.sendall(b"GET /problems/internal HTTP/1.1\r\nHost: x\r\nX: ")
        wait_for(lambda: serves(hasty), "another client to be served")
        assert raw.drip(sock, raw.endless(b"", b"x")) == b""
    assert cut_for(hasty, "head") > before


def test_a_body_that_drips_in_by_tls_is_cut_while_others_are_served(hasty):
    before = cut_for(hasty, "body")
    with connected(hasty, context()) as sock:
        sock.sendall(b"POST /projects HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        wait_for(lambda: serves(hasty), "another client to be served")
        assert raw.drip(sock, raw.endless(b"{", b" ")) == b""
    assert cut_for(hasty, "body") > before


def test_a_head_by_tls_that_is_too_large_and_does_not_end_is_cut(secure):
    before = cut_for(secure, "large_head")
    with connected(secure, context()) as sock:
        sock.sendall(b"GET /problems/internal HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000)
        assert raw.drip(sock, raw.endless(b"", b"y")) == b""
    assert cut_for(secure, "large_head") == before + 1


def test_a_full_house_by_tls_ends_a_new_connection_without_a_word(kiln, secure):
    task = kiln.post(kiln.project(), waiting_spec())
    limits = {"KILN_MAX_CONNECTIONS": "1", "KILN_THREADS": "1"}
    with ready_gateway(kiln.system, **secure.certificate.variables(), **limits) as gateway, contextlib.ExitStack() as stack:
        client = Client(gateway.url.replace("http:", "https:"), kiln.api.token, timeout=60)
        lines = opened(stack, client, f"/builds/{task}/events").iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: build.pending"
        with raw.connect(gateway.url) as sock:
            assert raw.read_all(sock) == b""
        assert cut_for(gateway, "refused") == 1
    kiln.cancel(task)


# -- clients that are gone


@pytest.fixture(name="unhurried", scope="module")
def unhurried_fixture(secure, shared_system):
    """Its time for a handshake ends after the test: it has to see for itself who is gone."""
    with ready_gateway(shared_system, **secure.certificate.variables(), KILN_HEADER_TIMEOUT_MS="600000") as gateway:
        gateway.address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        yield gateway


@pytest.mark.parametrize("end", [socket.socket.close, raw.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("said", ["nothing", "half a hello", "hello", "hello and half an end", "no request"])
def test_a_client_that_is_gone_during_the_handshake_leaves_nothing(unhurried, said, version, end):
    sock = socket.create_connection(unhurried.address, timeout=60)
    handshake = Handshake(sock, version)
    hello = handshake.flight()
    if said != "nothing":
        sock.sendall(hello[: len(hello) // 2] if said == "half a hello" else hello)
    if said in ("hello and half an end", "no request"):
        rest = handshake.next_flight()
        sock.sendall(rest[: len(rest) // 2] if said == "hello and half an end" else rest)
    wait_for(lambda: raw.open_connections(unhurried) == 1, "it to be accepted")
    end(sock)
    raw.nothing_is_left(unhurried)
    with connected(unhurried, context()) as other:
        assert ask(other) == b"HTTP/1.1 200 OK\r\n"
    raw.nothing_is_left(unhurried)


# -- certificates


def test_a_new_certificate_is_for_new_connections_and_a_bad_one_for_none(secure):
    certificate = secure.certificate.write("before")
    wait_for(lambda: shown_name(secure) == "before", "the new certificate")
    refused = 'outcome="refused"'
    with connected(secure, context()) as old:
        certificate.write("after")
        wait_for(lambda: shown_name(secure) == "after", "the next certificate")
        assert ask(old) == b"HTTP/1.1 200 OK\r\n"
        before = labelled(secure, refused)
        certificate.cert.write_text("no certificate\n", encoding="ascii")
        wait_for(lambda: labelled(secure, refused) > before, "the bad one to be refused")
        assert shown_name(secure) == "after"
        before = labelled(secure, refused)
        secure.process.send_signal(signal.SIGHUP)
        wait_for(lambda: labelled(secure, refused) > before, "it to be looked at again")
        assert shown_name(secure) == "after" and ask(old) == b"HTTP/1.1 200 OK\r\n"
    certificate.write("last")
    wait_for(lambda: shown_name(secure) == "last", "a good one to be taken again")


def labelled(gateway, label):
    return gateway.metric(f"kiln_gateway_certificate_loads_total{{{label}}}")


def test_a_certificate_without_its_key_is_no_start(kiln, secure):
    pid, *_ = kiln.system.pids("GATEWAY")
    program = str(pathlib.Path(kiln.system.env["KILN_BIN"]) / "kiln-gateway")
    other = Certificate(kiln.system).write("other")
    for variables in (
        {"KILN_TLS_CERT_FILE": str(secure.certificate.cert)},
        {"KILN_TLS_CERT_FILE": str(secure.certificate.cert), "KILN_TLS_KEY_FILE": str(other.key)},
        {"KILN_TLS_CERT_FILE": "/nowhere", "KILN_TLS_KEY_FILE": str(other.key)},
    ):
        environment = environment_of(pid) | {"KILN_LISTEN": "127.0.0.1:0", "KILN_OPS_PORT": "0"} | variables
        ended = subprocess.run([program], env=environment, capture_output=True, timeout=60, check=False, **kiln.system.as_run_user())
        assert ended.returncode == 1 and b"cannot start" in ended.stdout + ended.stderr
    shutil.rmtree(other.folder)
