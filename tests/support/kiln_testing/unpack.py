"""What the log store has packed, by the library itself."""

import ctypes

MAGIC = b"\x28\xb5\x2f\xfd"


def unpack(data):
    """A zstd frame's content; anything else as it is."""
    if not data.startswith(MAGIC):
        return data
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    size = zstd.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
    assert size < 64 << 20
    content = ctypes.create_string_buffer(size)
    got = zstd.ZSTD_decompress(content, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    assert got == size
    return content.raw
