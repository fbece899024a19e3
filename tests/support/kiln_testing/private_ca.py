"""A certificate authority that nobody knows but who is given its certificate."""

import ssl
import subprocess

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class PrivateCa:
    """In a folder of the caller's. `cert`: its certificate, for whoever shall trust it."""

    def __init__(self, folder):
        self.folder = folder
        self.cert = folder / "ca.pem"
        self.key = folder / "ca-key.pem"
        self._openssl("req", "-x509", *CURVE, "-days", "2", "-subj", "/CN=A private CA", "-keyout", self.key, "-out", self.cert)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, check=True, capture_output=True)

    def server_context(self, name="IP:127.0.0.1"):
        """Of a server with a certificate of this authority for the name."""
        key, request, cert, extensions = (self.folder / f"server{ending}" for ending in ("-key.pem", ".csr", ".pem", ".ext"))
        extensions.write_text(f"subjectAltName={name}\n", encoding="ascii")
        self._openssl("req", "-new", *CURVE, "-subj", "/CN=server", "-keyout", key, "-out", request)
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", cert
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context
