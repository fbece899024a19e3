"""Bodies of requests as git needs them: unchunked, unzipped, complete, on a descriptor."""

import os
import tempfile
import zlib

from repositories import Refused

MAX_BODY = 4 << 30  # of one push; a packed repository of tests is far smaller
PIPE_BODY = 32 << 10  # a body of this size fits a pipe, so nobody has to feed it
CHUNK = 64 << 10


def raw_body(handler):
    """The body's pieces, chunked or with a length."""
    if "chunked" in handler.headers.get("Transfer-Encoding", "").lower():
        while True:
            size = int(handler.rfile.readline(100).split(b";")[0], 16)
            if size == 0:
                while handler.rfile.readline(8192).strip():
                    pass  # trailers
                break
            yield from pieces(handler, size)
            handler.rfile.readline(3)
    else:
        yield from pieces(handler, int(handler.headers.get("Content-Length") or 0))
    handler.body_left = False


def pieces(handler, size):
    while size > 0:
        piece = handler.rfile.read(min(size, CHUNK))
        if not piece:
            raise Refused(400, "the body ends early")
        size -= len(piece)
        yield piece


def body(handler):
    handler.body_left = True
    if handler.headers.get("Content-Encoding", "").lower() not in ("gzip", "x-gzip"):
        yield from raw_body(handler)
        return
    inflate = zlib.decompressobj(wbits=31)
    for piece in raw_body(handler):
        while piece:
            yield inflate.decompress(piece, CHUNK)
            piece = inflate.unconsumed_tail
    yield inflate.flush()


def spool(handler):
    """The whole body as a descriptor to read: a full pipe, or a file when it is long.

    Git may answer before it has read everything; with all of it there nobody waits for
    anybody.
    """
    head = bytearray()
    file = None
    size = 0
    try:
        for piece in body(handler):
            size += len(piece)
            if size > MAX_BODY:
                raise Refused(413, "too much")
            if file is None and size > PIPE_BODY:
                file = tempfile.TemporaryFile(buffering=0)
                file.write(head)
            if file is None:
                head += piece
            else:
                file.write(piece)
        if file is not None:
            file.seek(0)
            return os.dup(file.fileno())
    except (ValueError, zlib.error) as error:
        raise Refused(400, "broken body") from error
    finally:
        if file is not None:
            file.close()
    reader, writer = os.pipe()
    os.write(writer, head)
    os.close(writer)
    return reader
