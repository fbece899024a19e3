#!/usr/bin/env python3
"""Writes a JSON file as C arrays: embed_json.py INPUT SYMBOL OUTPUT-STEM. For documents too long for string literals, which are sent as
they are: SYMBOL is the text, SYMBOL_gz the same by gzip, SYMBOL_etag what etag_of_bytes says of the text."""
import gzip
import hashlib
import sys


def array(symbol, data):
    rows = (",".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32))
    return f"const unsigned char {symbol}[{symbol.upper()}_LEN] = {{\n" + ",\n".join(rows) + "};\n"


def main():
    source, symbol, stem = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    coded = gzip.compress(data, 9, mtime=0)
    with open(stem + ".h", "w", encoding="ascii") as file:
        file.write("#pragma once\n#include <stddef.h>\n")
        for name, content in ((symbol, data), (symbol + "_gz", coded)):
            file.write(f"#define {name.upper()}_LEN {len(content)}UL\nextern const unsigned char {name}[{name.upper()}_LEN];\n")
        file.write(f"extern const char {symbol}_etag[35];\n")
    with open(stem + ".c", "w", encoding="ascii") as file:
        file.write(f'#include "{symbol}.h"\n' + array(symbol, data) + array(symbol + "_gz", coded))
        file.write(f'const char {symbol}_etag[35] = "\\"{hashlib.sha256(data).hexdigest()[:32]}\\"";\n')


main()
