"""Writes a model of `depth` nested If nodes as raw protobuf: nest.py DEPTH OUT."""

import sys


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def text(number, value):
    return field(number, value.encode())


graph = text(2, "g")
for _ in range(int(sys.argv[1])):
    attribute = text(1, "then_branch") + field(6, graph) + varint(20 << 3) + varint(5)
    graph = field(1, text(1, "c") + text(2, "y") + text(4, "If") + field(5, attribute)) + text(
        2, "g"
    )
opset = text(1, "") + varint(2 << 3) + varint(17)
with open(sys.argv[2], "wb") as file:
    file.write(varint(1 << 3) + varint(8) + field(7, graph) + field(8, opset))
