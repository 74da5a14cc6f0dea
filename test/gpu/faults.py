"""Faults put into the PTX of an artifact: a checker that finds none of them checks nothing.

    faulty = Faults(artifact, feeds, [want], tolerance=2e-3)   # runs it once without a fault
    missed, tried = faulty.missed(BARRIERS + PIPELINE + FRAGMENTS, most=3)
    assert not missed and tried > 20

The text lies in the artifact as LLVM wrote it. Comments are cut out of it, so that a change may be
longer than what it replaces; the host code, launches and weights stay as they are. A fault counts
as caught if the interpreter names a broken rule, or results differ from those that are wanted.
"""

import os
import re

import attune_cli as cli
import numpy as np
import pytest

# A real driver promises nothing about what breaks its rules.
INTERPRETED = "ptxemu" in os.environ.get("ATTUNE_CUDA_DRIVER", "")
needs_interpreter = pytest.mark.skipif(not INTERPRETED, reason="needs the interpreter")

# What a rule does to the text: a name, what is looked for (one match is one fault), what takes its
# place (as in re.sub). Lines are whole instructions.
BARRIERS = [("no barrier", r"^\tbar(?:rier)?\.(?:cta\.)?sync[^;\n]*;", "")]
PIPELINE = [
    ("no wait", r"^\tcp\.async\.wait_(?:group\s+[1-9][^;\n]*|all);", ""),
    ("no group", r"^\tcp\.async\.commit_group;", ""),
]
# Matters only where copies are under way in the end, as those of a short depth.
DRAIN = [("no last wait", r"^\tcp\.async\.wait_group\s+0;", "")]
FRAGMENTS = [
    ("A registers swapped", r"(mma\.sync\S+\s+\{[^}]*\},\s*\{ *)(%\w+), (%\w+)", r"\1\3, \2"),
    ("B registers swapped",
     r"(mma\.sync\S+\s+\{[^}]*\},\s*\{[^}]*\},\s*\{ *)(%\w+), (%\w+)( *\})", r"\1\3, \2\4"),
    ("loaded registers swapped", r"(ldmatrix\S+\s+\{ *)(%\w+), (%\w+)", r"\1\3, \2"),
    ("transposed", r"(ldmatrix\S+\.x[24])(\.shared)", r"\1.trans\2"),
    ("not transposed", r"(ldmatrix\S+)\.trans(\.shared)", r"\1\2"),
]  # fmt: skip


def _behind(bytes):
    """The address, or the second one, so many bytes on."""
    return lambda m: f"{m[1]}+{int(m[2] or 0) + bytes}]"


OFFSETS = [
    ("loaded 16 bytes on", r"(ldmatrix[^\[;]*\[%\w+)(?:\+(\d+))?\]", _behind(16)),
    ("copied 16 bytes on", r"(cp\.async\.c[ag]\S+\s+\[%\w+)(?:\+(\d+))?\]", _behind(16)),
    ("stored 8 bytes on", r"(st\.shared[^\[;]*\[%\w+)(?:\+(\d+))?\]", _behind(8)),
    ("copied from 16 bytes on",
     r"(cp\.async\.c[ag]\S+\s+\[[^\]]*\],\s*\[%\w+)(?:\+(\d+))?\]", _behind(16)),
]  # fmt: skip
SWIZZLES = [("no swizzle", r"^\txor\.b(?:32|64) (\s*%\w+), (%\w+), [^;]*;", r"\tmov.b64 \1, \2;")]
# Of wgmma and of tensor maps. Waits for stages that are still empty may be missing.
GROUPS = [
    ("no wait for products", r"^\twgmma\.wait_group[^;\n]*;", ""),
    ("no fence of registers", r"^\twgmma\.fence[^;\n]*;", ""),
    ("no wait for bytes",
     r"^\tbra\.uni +LAB_WAIT;(?=(?:(?!cp\.async\.bulk)[\s\S])*?wgmma\.fence)", ""),
    ("descriptors swapped", r"(wgmma\.mma_async[^;]*\}, *)(%rd\d+), *(%rd\d+)", r"\1\3, \2"),
    ("other layout", r"(wgmma\.mma_async[^;]*, *)([01]);",
     lambda m: f"{m[1]}{1 - int(m[2])};"),
    ("coordinates swapped",
     r"(cp\.async\.bulk\.tensor[^{;]*\{ *%r\d+, *)(%r\d+), *(%r\d+)", r"\1\3, \2"),
]  # fmt: skip


class Faults:
    """An artifact with inputs (by name, in order) and wanted results (likewise; NaN: anything)."""

    def __init__(self, artifact, feeds, want, tolerance):
        self.image, self.artifact = artifact.read_bytes(), artifact
        self.want, self.tolerance = want, tolerance
        self.inputs = cli.write_inputs(artifact.parent / "faults_in", feeds)
        start = self.image.index(b".version ")
        # Other texts may follow; the last brace before a byte that is none ends this one.
        other = re.compile(rb"[^\t\n\x20-\x7e]").search(self.image, start).start()
        stop = self.image.rindex(b"\n}", start, other) + 2
        self.place, self.room = start, stop - start
        text = self.image[start:stop].decode()
        self.text = re.sub(r"[ \t]*//[^\n]*", "", text)
        message = self.run(self.text)
        assert not message, f"without a fault: {message}"

    def variants(self, rules, most=None):
        """One fault at a time; of more than `most` sites of a rule, some from the first to the last."""
        for name, pattern, replacement in rules:
            sites = list(re.finditer(pattern, self.text, re.M))
            if most and len(sites) > most:
                sites = [sites[i] for i in np.linspace(0, len(sites) - 1, most).astype(int)]
            for site in sites:
                line = self.text.count("\n", 0, site.start()) + 1
                changed = replacement(site) if callable(replacement) else site.expand(replacement)
                text = self.text[: site.start()] + changed + self.text[site.end() :]
                if changed != site[0]:
                    yield f"{name} in line {line}: {site[0].strip()}", text

    def caught(self, name, text):
        """What the fault was noticed by; empty if nothing has."""
        message = self.run(text)
        print(f"{name} -> {message or 'NOT NOTICED'}")
        return message

    def missed(self, rules, most=None):
        """The faults of all rules that nothing noticed, and how many were tried."""
        tried = list(self.variants(rules, most))
        return [name for name, text in tried if not self.caught(name, text)], len(tried)

    def run(self, text):
        """What is wrong with a run of that text."""
        data = text.encode()
        assert len(data) <= self.room, "the changed text has no room in the artifact"
        image = bytearray(self.image)
        image[self.place : self.place + self.room] = data.ljust(self.room, b"\n")
        changed, outputs = self.artifact.with_name("fault.so"), self.artifact.parent / "faults_out"
        changed.write_bytes(image)
        ran = cli.attune(
            *("run", changed, "--inputs", self.inputs, "--outputs", outputs),
            check=False,
            # A fault may make a kernel wait for what never comes.
            env=os.environ | {"ATTUNE_PTX_STEPS": str(1 << 24)},
        )
        if ran.returncode:
            assert ran.returncode == 1 and "CUDA" in ran.stderr, ran.stderr
            return ran.stderr.strip().splitlines()[-1]
        for got, want in zip(cli.read_outputs(outputs), self.want, strict=True):
            want = np.asarray(want, np.float64)
            known = ~np.isnan(want)
            gap = np.abs(got.astype(np.float64) - want)[known]
            if not gap.max(initial=0) <= self.tolerance * np.abs(want[known]).max(initial=1):
                return f"wrong by {gap.max():.3g}"
        return ""
