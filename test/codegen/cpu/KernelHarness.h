//===- KernelHarness.h - Runs one attune.kernel of a textual module ---------------------------===//
//
// The module has one function whose tensor arguments are the kernel's inputs and whose index
// arguments are sizes; the kernel's `dims` and `result_dims` may be computed from those. Buffers
// end where unmapped memory starts, so that an access beyond an array faults.
//
//   Kernel kernel(text, *createRowwiseEmitter(), target);
//   ASSERT_TRUE(kernel.matched());
//   KernelRun run = kernel.run({Array::random("f32", {7, 13}, 1)}, /*sizes=*/{7, 13},
//   /*threads=*/2); EXPECT_EQ(run.code, 0); EXPECT_NEAR(run.outputs[0].at({3, 4}), expected, 1e-6);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_CPU_KERNELHARNESS_H
#define ATTUNE_TEST_CODEGEN_CPU_KERNELHARNESS_H

#include "TestJit.h"
#include "attune/codegen/cpu/Emitter.h"

#include <string>
#include <vector>

namespace attune::test {

/// A dense row-major array of f32, f64, f16, bf16, i64, i32, i16, i8 or i1 (a byte per element).
struct Array {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  static Array zeros(llvm::StringRef dtype, std::vector<int64_t> shape);
  /// Uniform in [low, high); integers are floored.
  static Array random(llvm::StringRef dtype, std::vector<int64_t> shape, unsigned seed,
                      double low = -2, double high = 2);
  static Array of(llvm::StringRef dtype, std::vector<int64_t> shape, std::vector<double> values);

  int64_t size() const;
  int64_t elementBytes() const;
  double operator[](int64_t element) const;
  void set(int64_t element, double value);
  double at(std::vector<int64_t> index) const { return (*this)[offset(index)]; }
  int64_t offset(const std::vector<int64_t> &index) const;
  bool operator==(const Array &other) const;
};

struct KernelRun {
  int32_t code = 0;
  std::vector<Array> outputs;
  double microseconds = 0; ///< fastest of the repetitions
};

class Kernel {
public:
  Kernel(llvm::StringRef text, const codegen::KernelEmitter &emitter,
         const codegen::CpuTarget &target);
  ~Kernel();
  /// Whether the emitter took the kernel. False also if it matched but failed to emit.
  bool matched() const { return library != nullptr; }
  KernelRun run(std::vector<Array> inputs, std::vector<int64_t> sizes = {}, unsigned threads = 1,
                int repetitions = 1) const;

private:
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  KernelOp op;
  codegen::EmittedKernel emitted;
  std::unique_ptr<Library> library;
};

/// Largest |got - expected| / (1 + |expected|); infinite if one is NaN and the other is not, or
/// shapes or infinities differ.
double error(const Array &got, const Array &expected);

} // namespace attune::test
#endif
