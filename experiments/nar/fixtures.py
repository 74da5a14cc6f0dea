"""Writes fixtures/: ten cells in the file formats of NAS-Bench-101 and NAS-Bench-201. The cells are
members of these spaces, their numbers are invented: the published tables are not shipped.

    python experiments/nar/fixtures.py
"""

import base64
import json
import random
import struct
from pathlib import Path

HERE = Path(__file__).parent
CONV1, CONV3, POOL = "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"
CELLS = [  # edges, operations between input and output
    ([(0, 1)], []),
    ([(0, 1), (1, 2)], [CONV3]),
    ([(0, 1), (1, 2)], [CONV1]),
    ([(0, 1), (1, 2)], [POOL]),
    ([(0, 1), (1, 2), (2, 3)], [CONV3, CONV1]),
    ([(0, 1), (1, 2), (2, 3), (0, 3)], [CONV3, CONV3]),
    ([(0, 1), (0, 2), (1, 3), (2, 3)], [CONV1, POOL]),
    ([(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)], [CONV3, CONV3, CONV1]),
    ([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (0, 6)], [CONV3] * 5),
    ([(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6), (0, 6)],
     [CONV3, CONV1, CONV3, POOL, CONV1]),
]  # fmt: skip
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload):
    """A TFRecord: length and payload, each with its masked CRC-32C."""
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", crc32c(length)) + payload + struct.pack("<I", crc32c(payload))


def field(number, value):
    """Of a protobuf message: a double, bytes or a varint."""
    if isinstance(value, float):
        return bytes([number << 3 | 1]) + struct.pack("<d", value)
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    out = bytes([number << 3])
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def record(edges, operations, random):
    """hash, epochs, adjacency, operations, base64 of ModelMetrics: what api.py of nasbench reads."""
    size = len(operations) + 2
    adjacency = "".join(str(int((i, j) in edges)) for i in range(size) for j in range(size))
    accuracy = 0.8 + 0.02 * operations.count(CONV3) + 0.01 * random.random()
    metrics = b""
    for share in (0.0, 0.5, 1.0):
        values = (108 * share, 1500 * share, min(1, 1.05 * accuracy) * share, accuracy * share,
                  (accuracy - 0.004) * share)  # fmt: skip
        metrics += field(1, b"".join(field(i, float(v)) for i, v in enumerate(values, 1)))
    metrics += field(2, 200_000 + 2_000_000 * operations.count(CONV3)) + field(3, 1500.0)
    line = ["0" * 32, 108, adjacency, ",".join(["input", *operations, "output"]),
            base64.b64encode(metrics).decode()]  # fmt: skip
    return frame(json.dumps(line).encode())


def main():
    folder, draw = HERE / "fixtures", random.Random(0)
    folder.mkdir(exist_ok=True)
    runs = [record(*cell, draw) for cell in CELLS for _ in range(3)]
    (folder / "nasbench101.tfrecord").write_bytes(b"".join(runs))
    with (folder / "nasbench201.jsonl").open("w") as out:
        for _ in range(10):
            ops = [draw.choice(OPERATIONS) for _ in range(6)]
            arch = "+".join(
                "|" + "".join(f"{ops[node * (node - 1) // 2 + i]}~{i}|" for i in range(node))
                for node in (1, 2, 3)
            )
            accuracy = 40 + 8 * sum("conv" in op for op in ops)
            line = {"arch": arch, "val_acc": [round(accuracy + draw.random(), 2) for _ in range(3)],
                    "flops": 8.0 + 20 * ops.count("nor_conv_3x3")}  # fmt: skip
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
