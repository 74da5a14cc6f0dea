"""Rules that a program can check: sizes, a test for everything, nothing of one machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MUST_SPLIT = {".cpp": 800, ".h": 400, ".td": 300, ".mlir": 400, ".py": 800}
LONGEST_PATH = 80
BINARY = (".onnx", ".gz", ".tfrecord")
DEEPEST = 4  # folders above a file


def files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = [Path(f) for f in listed.stdout.splitlines() if (ROOT / f).is_file()]
    # Models and tables are binary; data has the layout of the ONNX test suites.
    return [f for f in found if f.parts[:2] != ("test", "data") and f.suffix not in BINARY]


FILES = files()


def text(file):
    return (ROOT / file).read_text(encoding="utf-8")


def test_sizes():
    sizes = {f: len(text(f).splitlines()) for f in FILES if f.suffix in MUST_SPLIT}
    counts = sorted(n for f, n in sizes.items() if f.suffix == ".cpp")
    print(
        f"{len(counts)} .cpp files: median {counts[len(counts) // 2]} lines, "
        f"p90 {counts[len(counts) * 9 // 10]}, max {counts[-1]}"
    )
    large = [f"{f}: {n} lines" for f, n in sizes.items() if n > MUST_SPLIT[f.suffix]]
    assert not large, "\n".join(large)


def test_paths():
    deep = [f for f in FILES if len(str(f)) > LONGEST_PATH or len(f.parts) - 1 > DEEPEST]
    assert not deep


def test_text():
    """No tabs, no trailing space, a newline at the end, no path of anyone's machine."""
    home = re.compile(r"/(home|Users)/\w+/|/root/\w|/tmp/\w+/|\bTODO\b|\bFIXME\b")
    found = []
    for file in FILES:
        if file.name == "LICENSE" or file.parts[:2] == ("docs", "generated"):
            continue
        content = text(file)
        if content and not content.endswith("\n"):
            found.append(f"{file}: no newline at the end")
        for number, line in enumerate(content.splitlines(), 1):
            tab = "\t" in line and file.name != "Makefile"
            machine = home.search(line) and file != Path(__file__).relative_to(ROOT)
            if tab or line != line.rstrip() or machine:
                found.append(f"{file}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_banners():
    """The first line of a file, if it is a banner, has 100 columns: longer ones get broken."""
    ends = {"//===-": "===//", "/*===-": "==="}
    found = []
    for file in FILES:
        first = text(file).split("\n", 1)[0] if file.suffix in (".h", ".hpp", ".cpp", ".td") else ""
        end = ends.get(first[:6])
        if end and not (len(first) == 100 and first.endswith(f"-{end}")):
            found.append(f"{file}: {first}")
    assert not found, "\n".join(found)


def lit_tests():
    return "\n".join(text(f) for f in FILES if f.suffix == ".mlir" and f.parts[0] == "test")


def test_every_pass_has_a_test():
    definitions = [text(f) for f in FILES if f.suffix == ".td" and f.parts[0] == "passes"]
    flags = re.findall(r'Pass<"(attune-[\w-]+)"', "\n".join(definitions))
    tests = lit_tests()
    assert flags
    assert [f for f in flags if not re.search(rf"{f}(?![\w-])", tests)] == []


def test_every_op_has_a_test():
    ops = [
        m
        for f in FILES
        if f.suffix == ".td" and f.parts[:2] == ("dialect", "ops")
        for m in re.findall(r'Attune_Op<"(\w+)"', text(f))
    ]
    tests = lit_tests()
    assert ops
    assert [op for op in ops if not re.search(rf"attune\.{op}\b", tests)] == []
