#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Run.h"
#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace attune::tools {
namespace {

/// Element `i` of any numeric tensor.
double element(const Tensor &tensor, uint64_t i) {
  const char *data = static_cast<const char *>(tensor.data());
  auto as = [&]<typename T>(T value) {
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  };
  auto small = [&](const llvm::fltSemantics &semantics) {
    llvm::APFloat value(semantics, llvm::APInt(16, as(uint16_t())));
    bool lossy;
    value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &lossy);
    return value.convertToDouble();
  };
  switch (tensor.dtype()) {
  case ATTUNE_F64:
    return as(double());
  case ATTUNE_F32:
    return as(float());
  case ATTUNE_F16:
    return small(llvm::APFloat::IEEEhalf());
  case ATTUNE_BF16:
    return small(llvm::APFloat::BFloat());
  case ATTUNE_I64:
    return as(int64_t());
  case ATTUNE_U64:
    return as(uint64_t());
  case ATTUNE_I32:
    return as(int32_t());
  case ATTUNE_U32:
    return as(uint32_t());
  case ATTUNE_I16:
    return as(int16_t());
  case ATTUNE_U16:
    return as(uint16_t());
  case ATTUNE_I8:
    return as(int8_t());
  default:
    return as(uint8_t());
  }
}

/// Largest deviations of one output from what is expected.
struct Difference {
  double absolute = 0, relative = 0; ///< relative to the largest expected magnitude
  bool sameShape = true, sameNaN = true;
};

Difference compare(const Tensor &actual, const Tensor &expected) {
  Difference difference;
  if (actual.shape() != expected.shape() || actual.dtype() != expected.dtype()) {
    difference.sameShape = false;
    return difference;
  }
  double magnitude = 0;
  for (uint64_t i = 0; i < actual.elements(); ++i) {
    double a = element(actual, i), e = element(expected, i);
    if (std::isnan(a) || std::isnan(e)) {
      difference.sameNaN &= std::isnan(a) == std::isnan(e);
      continue;
    }
    if (a == e)
      continue;
    difference.absolute = std::max(difference.absolute, std::abs(a - e));
    if (std::isfinite(e))
      magnitude = std::max(magnitude, std::abs(e));
  }
  difference.relative = magnitude > 0 ? difference.absolute / magnitude : difference.absolute;
  return difference;
}

class Checker {
public:
  Checker(const CompileOptions &options, double tolerance)
      : options(options), tolerance(tolerance) {}

  llvm::Expected<bool> run(llvm::StringRef model, llvm::ArrayRef<std::string> specs,
                           const InputSizes &sizes) {
    CompileOptions reference = options;
    reference.reference = true;
    reference.target = "cpu";
    reference.gpuMath = CompileOptions().gpuMath;
    auto optimised = compileToTemporary(model, options);
    if (!optimised)
      return optimised.takeError();
    llvm::scope_exit cleanOptimised([&] { removeTemporary(*optimised); });
    auto decomposed = compileToTemporary(model, reference);
    if (!decomposed)
      return decomposed.takeError();
    llvm::scope_exit cleanDecomposed([&] { removeTemporary(*decomposed); });
    try {
      Session actual(*optimised), expected(*decomposed);
      auto inputs =
          specs.empty() ? makeInputs(actual, sizes) : readInputs(actual.signature(), specs);
      if (!inputs)
        return inputs.takeError();
      llvm::outs() << describeInputs(actual, *inputs) << "\n";
      std::vector<Tensor> outputs = actual.run(*inputs);
      print(actual, outputs, expected.run(*inputs), "reference lowering");
      for (const std::string &spec : specs)
        if (llvm::sys::fs::is_directory(spec))
          if (llvm::Error error = compareFiles(actual, outputs, spec))
            return std::move(error);
    } catch (const Error &error) {
      return runtimeError(error);
    } catch (const std::exception &error) {
      return llvm::createStringError(error.what());
    }
    return agrees;
  }

private:
  const CompileOptions &options;
  double tolerance;
  bool agrees = true;

  void print(const Session &session, llvm::ArrayRef<Tensor> actual, llvm::ArrayRef<Tensor> expected,
             llvm::StringRef against) {
    for (size_t i = 0; i < actual.size(); ++i)
      print(session.signature().outputs[i]->name, compare(actual[i], expected[i]), against);
  }

  void print(llvm::StringRef name, const Difference &difference, llvm::StringRef against) {
    bool ok = difference.sameShape && difference.sameNaN && difference.relative <= tolerance;
    agrees &= ok;
    llvm::outs() << (ok ? "ok    " : "WRONG ") << name << " against " << against << ": ";
    if (!difference.sameShape)
      llvm::outs() << "another shape or dtype\n";
    else
      llvm::outs() << llvm::format("max error %.3g (%.3g of the largest value)%s\n",
                                   difference.absolute, difference.relative,
                                   difference.sameNaN ? "" : ", NaN in other places");
  }

  llvm::Error compareFiles(const Session &session, llvm::ArrayRef<Tensor> outputs,
                           llvm::StringRef folder) {
    for (auto [i, output] : llvm::enumerate(outputs))
      for (llvm::StringRef extension : {".pb", ".npy"}) {
        std::string path = (folder + "/output_" + llvm::Twine(i) + extension).str();
        if (!llvm::sys::fs::exists(path))
          continue;
        auto expected = readTensorFile(path, output.dtype());
        if (!expected)
          return expected.takeError();
        print(session.signature().outputs[i]->name, compare(output, expected->tensor), path);
        break;
      }
    return llvm::Error::success();
  }
};

} // namespace

int checkCommand(Args args) {
  CompileOptions compile;
  std::vector<std::string> positional, inputs;
  double tolerance = 1e-4;
  Options parser("check", "MODEL.onnx [--inputs DIR|NAME=FILE] [options]");
  parser.add("inputs", "DIR|NAME=FILE", "inputs as for `attune run`; none: made up, seeded",
             [&](llvm::StringRef text) {
               inputs.push_back(text.str());
               return llvm::Error::success();
             });
  parser.add("tolerance", "R", "largest error relative to an output's largest value (default 1e-4)",
             [&](llvm::StringRef text) -> llvm::Error {
               if (text.getAsDouble(tolerance) || tolerance < 0)
                 return llvm::createStringError("--tolerance expects a number, found `" + text +
                                                "`");
               return llvm::Error::success();
             });
  parser.addCompileOptions(compile);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || llvm::StringRef(positional[0]).ends_with(".so")) {
    llvm::errs() << "attune check: expects one model (not an artifact)\n";
    return kUsage;
  }
  InputSizes sizes{compile.fixedShapes, compile.fixedDims};
  compile.fixedShapes.clear();
  compile.fixedDims.clear();
  auto agrees = Checker(compile, tolerance).run(positional[0], inputs, sizes);
  if (!agrees)
    return report(agrees.takeError());
  return *agrees ? kOk : kUserError;
}

} // namespace attune::tools
