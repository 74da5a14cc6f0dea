//===- Program.h - The host program of an artifact --------------------------------------------===//
//
// What the runtime executes: scalar instructions, a list of kernel calls, and where every tensor
// lives (docs/artifact.md). Built from a function in which only constants, index arithmetic,
// reshapes and `attune.kernel` ops are left; independent of the back end that emits the kernels.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_PROGRAM_H
#define ATTUNE_CODEGEN_PROGRAM_H

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <string>
#include <vector>

namespace attune::codegen {

struct Program {
  struct Scalar {
    std::string op;
    std::vector<int64_t> operands; ///< scalars, or the literals of `const` and `dim`
  };
  enum class Kind { Input, Output, Weight, Arena, Dynamic };
  struct Value {
    Kind kind;
    std::string dtype;
    std::vector<int64_t> shape; ///< scalars
    int64_t bytes = 0;          ///< scalar; a number for weights
    int64_t index = 0;          ///< of the input or output
    int64_t slot = 0;           ///< of the memory plan (Arena)
    int64_t offset = 0;         ///< in the weight section (Weight)
  };
  struct Step {
    enum class Kind { Kernel, Load, Copy };
    Kind kind = Kind::Kernel;
    int64_t kernel = 0;
    std::vector<int64_t> buffers; ///< values; (from, to) of a copy; the tensor of a load
    std::vector<int64_t> dims;    ///< scalars
    int64_t scalar = 0;           ///< defined by a load, or bytes of a copy
    int64_t index = 0;            ///< element that a load reads
    int64_t flops = 0, bytes = 0; ///< scalars
  };
  struct Port {
    std::string name, dtype;
    std::vector<std::string> symbols; ///< one per axis; "" for a fixed extent
    std::vector<int64_t> extents;     ///< -1 where there is a symbol
    int64_t value;
  };
  struct Kernel {
    std::string symbol, name, emitter, backend, hash;
    std::vector<std::string> nodes;
  };
  struct Check {
    int64_t scalar;
    std::string message;
  };
  struct Alias {
    int64_t input, output, axis;
  };

  std::vector<Scalar> scalars;
  std::vector<Value> values;
  std::vector<Step> steps;
  std::vector<Port> inputs, outputs;
  std::vector<Kernel> kernels;
  std::vector<Check> checks;
  std::vector<Alias> aliases;
  std::vector<std::vector<int64_t>> slots;
  std::string model;
  std::string target = "cpu"; ///< what the kernels run on

  /// Contents of the weight section in order; offsets are multiples of 64.
  std::vector<mlir::ElementsAttr> weights;
  std::vector<int64_t> weightOffsets;
  int64_t weightBytes = 0;

  /// The metadata of docs/artifact.md.
  llvm::json::Value toJson(llvm::StringRef compiler, llvm::StringRef cpu) const;
};

/// The values of all scalars in a call; what a step loads from a tensor counts as a typical size.
/// Branches that the call does not take may be nonsense.
std::vector<int64_t> evaluateScalars(const Program &program,
                                     llvm::function_ref<int64_t(int64_t input, int64_t axis)> dimOf,
                                     int64_t threads);

/// Assigns every arena value to a slot so that no two values that are alive at the same time share
/// one. Slots are chosen by estimated sizes; the plan is valid for all sizes.
void planMemory(Program &program);

} // namespace attune::codegen
#endif
