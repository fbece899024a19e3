#!/usr/bin/env python3
"""Writes a JSON file as C arrays: embed_json.py INPUT SYMBOL OUTPUT-STEM. For documents too long for string literals, which are sent as
they are: SYMBOL is the text, SYMBOL_gz the same by gzip, SYMBOL_etag what etag_of_bytes says of the text."""
import gzip
import hashlib
import sys


def array(symbol, data):
    rows = (",".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32))
    return f"const unsigned char {symbol}[] = {{\n" + ",\n".join(rows) + f"}};\nconst size_t {symbol}_len = {len(data)};\n"


def main():
    source, symbol, stem = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    with open(stem + ".h", "w", encoding="ascii") as file:
        file.write("#pragma once\n#include <stddef.h>\n")
        for name in (symbol, symbol + "_gz"):
            file.write(f"extern const unsigned char {name}[];\nextern const size_t {name}_len;\n")
        file.write(f"extern const char {symbol}_etag[];\n")
    with open(stem + ".c", "w", encoding="ascii") as file:
        file.write(f'#include "{symbol}.h"\n' + array(symbol, data) + array(symbol + "_gz", gzip.compress(data, 9, mtime=0)))
        file.write(f'const char {symbol}_etag[] = "\\"{hashlib.sha256(data).hexdigest()[:32]}\\"";\n')


main()
