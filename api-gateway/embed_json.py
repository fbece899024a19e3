#!/usr/bin/env python3
"""Writes a file's bytes as a C array: embed_json.py INPUT SYMBOL OUTPUT-STEM. For documents too long for string literals."""
import sys


def main():
    source, symbol, stem = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    rows = (",".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32))
    with open(stem + ".h", "w", encoding="ascii") as file:
        file.write(f"#pragma once\n#include <stddef.h>\nextern const unsigned char {symbol}[];\nextern const size_t {symbol}_len;\n")
    with open(stem + ".c", "w", encoding="ascii") as file:
        file.write(f'#include "{symbol}.h"\nconst unsigned char {symbol}[] = {{\n' + ",\n".join(rows) +
                   f"}};\nconst size_t {symbol}_len = {len(data)};\n")


main()
