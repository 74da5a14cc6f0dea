"""What a GPU can do, measured: products on its tensor cores from shared memory or registers, and copies.

The products multiply pseudo-random numbers (a GPU that multiplies zeros needs less power, and runs
faster than it would with a model's numbers).
"""

import ctypes as C

SM80 = """\
.version 7.0
.target sm_80
.address_size 64
.visible .entry roof(.param .u64 out, .param .u32 count)
.reqntid 256, 1, 1
{
    .reg .pred %p;
    .reg .b32 %t<2>, %n, %a<4>, %b<2>;
    .reg .b64 %o, %x;
    .reg .f32 %s<32>;
"""
SM80_PRODUCT = (
    "    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%s{0}, %s{1}, %s{2}, %s{3}}, "
    "{%a0, %a1, %a2, %a3}, {%b0, %b1}, {%s{0}, %s{1}, %s{2}, %s{3}};\n"
)
SM90 = """\
.version 8.0
.target sm_90a
.address_size 64
.visible .entry roof(.param .u64 out, .param .u32 count)
.reqntid 256, 1, 1
{
    .shared .align 128 .b8 tiles[20480];
    .reg .pred %p, %q;
    .reg .b32 %t<2>, %n, %i;
    .reg .b64 %o, %x, %d, %e;
    .reg .f32 %s<128>;
"""
# Numbers of 16 bits in [0.5, 1) with a sign, from what is in %t0.
DRAW = (
    "    mad.lo.u32 %t0, %t0, 1664525, 1013904223;\n"
    "    and.b32 {0}, %t0, 0x83ff83ff;\n    or.b32 {0}, {0}, 0x38003800;\n"
)


def _end(sums):
    """The sums are used: each thread stores one number."""
    lines = [f"    add.f32 %s0, %s0, %s{i};\n" for i in range(1, sums)]
    return "".join(lines) + (
        "    mov.u32 %t0, %tid.x;\n    mov.u32 %t1, %ctaid.x;\n    mad.lo.u32 %t0, %t1, 256, %t0;\n"
        "    ld.param.u64 %o, [out];\n    cvta.to.global.u64 %o, %o;\n"
        "    mul.wide.u32 %x, %t0, 4;\n    add.u64 %o, %o, %x;\n    st.global.f32 [%o], %s0;\n"
        "    ret;\n}\n"
    )


def _sm80():
    """Eight independent sums a warp; (text, flops of a block and iteration)."""
    text = SM80 + "    ld.param.u32 %n, [count];\n    mov.u32 %t0, %tid.x;\n"
    for register in ("%a0", "%a1", "%a2", "%a3", "%b0", "%b1"):
        text += DRAW.replace("{0}", register)
    text += "".join(f"    mov.f32 %s{i}, 0f00000000;\n" for i in range(32)) + "again:\n"
    for first in range(0, 32, 4):
        product = SM80_PRODUCT
        for i in range(4):
            product = product.replace("%s{" + str(i) + "}", f"%s{first + i}")
        text += product
    text += "    sub.u32 %n, %n, 1;\n    setp.ne.u32 %p, %n, 0;\n    @%p bra again;\n"
    return text + _end(32), 8 * 8 * 2 * 16 * 8 * 16


def _sm90():
    """Two warp groups, each with products of 64 x 256 x 16 from shared memory, four a group."""
    text = (
        SM90 + "    ld.param.u32 %n, [count];\n    mov.u32 %t0, %tid.x;\n    mov.u32 %i, tiles;\n"
    )
    text += "    mad.lo.u32 %i, %t0, 4, %i;\n"
    for part in range(20):
        text += DRAW.replace("{0}", "%t1") + f"    st.shared.u32 [%i+{1024 * part}], %t1;\n"
    text += "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n"
    # No swizzle: matrices of 8 x 16 bytes, 128 bytes apart along K, 256 along rows.
    strides = (128 >> 4) << 16 | (256 >> 4) << 32
    text += "    mov.u32 %i, tiles;\n    shr.u32 %t1, %i, 4;\n    cvt.u64.u32 %d, %t1;\n"
    text += f"    or.b64 %d, %d, {strides};\n    add.u64 %e, %d, {2048 >> 4};\n"
    text += "    setp.eq.u32 %q, %i, %i;\n"
    text += "".join(f"    mov.f32 %s{i}, 0f00000000;\n" for i in range(128)) + "again:\n"
    sums = "{" + ", ".join(f"%s{i}" for i in range(128)) + "}"
    text += "    wgmma.fence.sync.aligned;\n"
    text += (
        f"    wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {sums}, %d, %e, %q, 1, 1, 0, 0;\n"
    ) * 4
    text += "    wgmma.commit_group.sync.aligned;\n    wgmma.wait_group.sync.aligned 0;\n"
    text += "    sub.u32 %n, %n, 1;\n    setp.ne.u32 %p, %n, 0;\n    @%p bra again;\n"
    return text + _end(128), 2 * 4 * 2 * 64 * 256 * 16


class Timer:
    """Time on the device between two calls."""

    def __init__(self, driver):
        self.driver, self.events = driver, [C.c_void_p(), C.c_void_p()]
        for event in self.events:
            driver("cuEventCreate", C.byref(event), C.c_uint(0))

    def seconds(self, work):
        self.driver("cuEventRecord", self.events[0], None)
        work()
        self.driver("cuEventRecord", self.events[1], None)
        self.driver("cuEventSynchronize", self.events[1])
        ms = C.c_float()
        self.driver("cuEventElapsedTime", C.byref(ms), *self.events)
        return ms.value / 1e3


def products(driver, gpu, blocks, count, repeats):
    """FLOP/s of the best of some runs."""
    text, flops = _sm90() if gpu == "sm_90a" else _sm80()
    module, function, out = C.c_void_p(), C.c_void_p(), C.c_uint64()
    driver("cuModuleLoadDataEx", C.byref(module), C.c_char_p(text.encode()), 0, None, None)
    driver("cuModuleGetFunction", C.byref(function), module, b"roof")
    driver("cuMemAlloc_v2", C.byref(out), C.c_size_t(blocks * 256 * 4))
    number = C.c_uint(count)
    arguments = (C.c_void_p * 2)(C.addressof(out), C.addressof(number))
    launch = lambda: driver("cuLaunchKernel", function, blocks, 1, 1, 256, 1, 1, 0, None,  # noqa: E731
                            arguments, None)  # fmt: skip
    timer = Timer(driver)
    best = min(timer.seconds(launch) for _ in range(repeats))
    driver("cuMemFree_v2", out)
    driver("cuModuleUnload", module)
    return flops * blocks * count / best


def copies(driver, nbytes, repeats):
    """Bytes a second that are read and written, of the best of some copies."""
    source, target = C.c_uint64(), C.c_uint64()
    for memory in (source, target):
        driver("cuMemAlloc_v2", C.byref(memory), C.c_size_t(nbytes))
    timer = Timer(driver)
    copy = lambda: driver("cuMemcpyDtoDAsync_v2", target, source, C.c_size_t(nbytes), None)  # noqa: E731
    best = min(timer.seconds(copy) for _ in range(repeats))
    for memory in (source, target):
        driver("cuMemFree_v2", memory)
    return 2 * nbytes / best
