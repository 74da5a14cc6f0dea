//===- Hooks.h - What Halide code calls, on the kernel ABI ------------------------------------===//
//
// Definitions in LLVM IR of the few functions of Halide's run time that its code refers to; they
// become part of the module of kernels (Bitcode.h).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_HOOKS_H
#define ATTUNE_CODEGEN_CPU_HOOKS_H

namespace attune::codegen {

/// For tasks and scratch memory of the host. The context is { ctx, scratch buffers, worker }; a
/// task gets a copy with its own worker. `attune_ctx` has `parallel_for` at byte 8 (kernel_abi.h).
inline constexpr const char *kHostHooks = R"(
define i32 @attune_halide_task(ptr %ctx, ptr %frame, ptr %dims, i64 %task, i64 %worker) {
  %own = alloca [3 x i64], align 8
  %outer = load ptr, ptr %frame, align 8
  call void @llvm.memcpy.p0.p0.i64(ptr align 8 %own, ptr align 8 %outer, i64 16, i1 false)
  %own.worker = getelementptr i8, ptr %own, i64 16
  store i64 %worker, ptr %own.worker, align 8
  %frame.function = getelementptr i8, ptr %frame, i64 8
  %function = load ptr, ptr %frame.function, align 8
  %frame.closure = getelementptr i8, ptr %frame, i64 16
  %closure = load ptr, ptr %frame.closure, align 8
  %frame.first = getelementptr i8, ptr %frame, i64 24
  %first = load i32, ptr %frame.first, align 8
  %number = trunc i64 %task to i32
  %at = add i32 %first, %number
  %code = call i32 %function(ptr %own, i32 %at, ptr %closure)
  ret i32 %code
}

define i32 @halide_do_par_for(ptr %context, ptr %function, i32 %first, i32 %count,
                                       ptr %closure) {
  %frame = alloca [4 x i64], align 8
  store ptr %context, ptr %frame, align 8
  %frame.function = getelementptr i8, ptr %frame, i64 8
  store ptr %function, ptr %frame.function, align 8
  %frame.closure = getelementptr i8, ptr %frame, i64 16
  store ptr %closure, ptr %frame.closure, align 8
  %frame.first = getelementptr i8, ptr %frame, i64 24
  store i32 %first, ptr %frame.first, align 8
  %ctx = load ptr, ptr %context, align 8
  %place = getelementptr i8, ptr %ctx, i64 8
  %run = load ptr, ptr %place, align 8
  %tasks = sext i32 %count to i64
  %code = call i32 %run(ptr %ctx, i64 %tasks, ptr @attune_halide_task, ptr %frame, ptr null)
  ret i32 %code
}

define ptr @attune_halide_scratch(ptr %context, i32 %number, i64 %bytes) {
  %buffers.place = getelementptr i8, ptr %context, i64 8
  %buffers = load ptr, ptr %buffers.place, align 8
  %place = getelementptr ptr, ptr %buffers, i32 %number
  %buffer = load ptr, ptr %place, align 8
  %worker.place = getelementptr i8, ptr %context, i64 16
  %worker = load i64, ptr %worker.place, align 8
  %offset = mul i64 %worker, %bytes
  %own = getelementptr i8, ptr %buffer, i64 %offset
  %address = ptrtoint ptr %own to i64
  %up = add i64 %address, 127
  %aligned = and i64 %up, -128
  %result = inttoptr i64 %aligned to ptr
  ret ptr %result
}

define void @halide_free(ptr %context, ptr %memory) {
  ret void
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
)";

/// For launches on a device. The context is { ctx, OpenCL C, its length }; the last two are set
/// when a kernel starts. `attune_ctx` has its device at byte 16, and that has `launch`, `allocate`,
/// `release` and `status` from byte 8 on (kernel_abi.h). A `halide_buffer_t` has its handle at byte
/// 0, the bits of an element at 33, the number of axes at 36 and at 40 their list, of 16 bytes each
/// with the extent at 4. All tensors live on the device: nothing is ever copied here. Errors stay
/// with the device.
inline constexpr const char *kDeviceHooks = R"(
define i32 @halide_opencl_initialize_kernels(ptr %context, ptr %state, ptr %source, i32 %size) {
  %source.place = getelementptr i8, ptr %context, i64 8
  store ptr %source, ptr %source.place, align 8
  %length = zext i32 %size to i64
  %length.place = getelementptr i8, ptr %context, i64 16
  store i64 %length, ptr %length.place, align 8
  ret i32 0
}

define void @halide_opencl_finalize_kernels(ptr %context, ptr %state) {
  ret void
}

define ptr @halide_opencl_device_interface() {
  ret ptr null
}

define ptr @attune_device_entry(ptr %context, i64 %byte) {
  %ctx = load ptr, ptr %context, align 8
  %device.place = getelementptr i8, ptr %ctx, i64 16
  %device = load ptr, ptr %device.place, align 8
  %place = getelementptr i8, ptr %device, i64 %byte
  %entry = load ptr, ptr %place, align 8
  ret ptr %entry
}

define i32 @halide_opencl_run(ptr %context, ptr %state, ptr %entry, i32 %bx, i32 %by, i32 %bz,
                              i32 %tx, i32 %ty, i32 %tz, i32 %local, ptr %sizes, ptr %args,
                              ptr %handles) {
  %range = alloca [7 x i32], align 4
  store i32 %bx, ptr %range, align 4
  %r1 = getelementptr i32, ptr %range, i64 1
  store i32 %by, ptr %r1, align 4
  %r2 = getelementptr i32, ptr %range, i64 2
  store i32 %bz, ptr %r2, align 4
  %r3 = getelementptr i32, ptr %range, i64 3
  store i32 %tx, ptr %r3, align 4
  %r4 = getelementptr i32, ptr %range, i64 4
  store i32 %ty, ptr %r4, align 4
  %r5 = getelementptr i32, ptr %range, i64 5
  store i32 %tz, ptr %r5, align 4
  %r6 = getelementptr i32, ptr %range, i64 6
  store i32 %local, ptr %r6, align 4
  %launch = call ptr @attune_device_entry(ptr %context, i64 8)
  %ctx = load ptr, ptr %context, align 8
  %source.place = getelementptr i8, ptr %context, i64 8
  %source = load ptr, ptr %source.place, align 8
  %length.place = getelementptr i8, ptr %context, i64 16
  %length = load i64, ptr %length.place, align 8
  %code = call i32 %launch(ptr %ctx, ptr %source, i64 %length, ptr %entry, ptr %range, ptr %sizes,
                           ptr %args, ptr %handles)
  ret i32 %code
}

define i32 @halide_device_malloc(ptr %context, ptr %buffer, ptr %interface) {
entry:
  %old = load ptr, ptr %buffer, align 8
  %empty = icmp eq ptr %old, null
  br i1 %empty, label %measure, label %done
measure:
  %bits.place = getelementptr i8, ptr %buffer, i64 33
  %bits = load i8, ptr %bits.place, align 1
  %wide = zext i8 %bits to i64
  %rounded = add i64 %wide, 7
  %width = lshr i64 %rounded, 3
  %rank.place = getelementptr i8, ptr %buffer, i64 36
  %rank = load i32, ptr %rank.place, align 4
  %axes.place = getelementptr i8, ptr %buffer, i64 40
  %axes = load ptr, ptr %axes.place, align 8
  br label %axis
axis:
  %i = phi i32 [ 0, %measure ], [ %next, %multiply ]
  %bytes = phi i64 [ %width, %measure ], [ %product, %multiply ]
  %more = icmp slt i32 %i, %rank
  br i1 %more, label %multiply, label %allocate
multiply:
  %at = sext i32 %i to i64
  %extent.place = getelementptr { i32, i32, i32, i32 }, ptr %axes, i64 %at, i32 1
  %extent = load i32, ptr %extent.place, align 4
  %size = sext i32 %extent to i64
  %product = mul i64 %bytes, %size
  %next = add i32 %i, 1
  br label %axis
allocate:
  %function = call ptr @attune_device_entry(ptr %context, i64 16)
  %ctx = load ptr, ptr %context, align 8
  %handle = call ptr %function(ptr %ctx, i64 %bytes)
  store ptr %handle, ptr %buffer, align 8
  br label %done
done:
  ret i32 0
}

define i32 @halide_device_free(ptr %context, ptr %buffer) {
entry:
  %handle = load ptr, ptr %buffer, align 8
  %empty = icmp eq ptr %handle, null
  br i1 %empty, label %done, label %release
release:
  %function = call ptr @attune_device_entry(ptr %context, i64 24)
  %ctx = load ptr, ptr %context, align 8
  call void %function(ptr %ctx, ptr %handle)
  store ptr null, ptr %buffer, align 8
  br label %done
done:
  ret i32 0
}

define void @halide_device_free_as_destructor(ptr %context, ptr %buffer) {
  %code = call i32 @halide_device_free(ptr %context, ptr %buffer)
  ret void
}

define i32 @attune_device_status(ptr %context, ptr %handle) {
  %function = call ptr @attune_device_entry(ptr %context, i64 32)
  %ctx = load ptr, ptr %context, align 8
  %status = call i32 %function(ptr %ctx, ptr %handle)
  ret i32 %status
}

define i32 @halide_copy_to_device(ptr %context, ptr %buffer, ptr %interface) {
  ret i32 0
}

define ptr @halide_malloc(ptr %context, i64 %bytes) {
  ret ptr null
}
)";

} // namespace attune::codegen
#endif
