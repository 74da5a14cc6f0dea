#include "attune/tools/attune/Options.h"
#include "attune/dialect/Attune.h"
#include "attune/passes/canonicalize/ChoiceFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using llvm::StringRef;

namespace attune::tools {

void Options::add(StringRef name, StringRef value, StringRef help,
                  std::function<llvm::Error(StringRef)> set) {
  options.push_back({name.str(), value.str(), help.str(), std::move(set)});
}

void Options::addString(StringRef name, StringRef value, StringRef help, std::string &target) {
  add(name, value, help, [&target](StringRef text) {
    target = text.str();
    return llvm::Error::success();
  });
}

void Options::addInteger(StringRef name, StringRef value, StringRef help, int64_t least,
                         int64_t &target) {
  add(name, value, help, [&target, least, name = name.str()](StringRef text) -> llvm::Error {
    if (text.getAsInteger(10, target) || target < least)
      return llvm::createStringError("--" + name + " expects an integer of at least " +
                                     llvm::Twine(least) + ", found `" + text + "`");
    return llvm::Error::success();
  });
}

void Options::addOptionalInteger(StringRef name, StringRef value, StringRef help, int64_t least,
                                 int64_t &target, bool &given) {
  addInteger(name, value, help, least, target);
  options.back().optionalValue = true;
  options.back().set = [&given, set = options.back().set](StringRef text) -> llvm::Error {
    given = true;
    return text.empty() ? llvm::Error::success() : set(text);
  };
}

void Options::addSwitch(StringRef name, StringRef help, bool &target) {
  add(name, "", help, [&target](StringRef) {
    target = true;
    return llvm::Error::success();
  });
}

void Options::addNotImplemented(llvm::ArrayRef<StringRef> names) {
  for (StringRef name : names)
    options.push_back({name.str(), "", "", nullptr});
}

static llvm::Error addDim(StringRef text, CompileOptions &options) {
  auto [name, value] = text.rsplit('=');
  int64_t extent;
  if (name.empty() || value.getAsInteger(10, extent) || extent < 0)
    return llvm::createStringError("--dim expects NAME=SIZE, found `" + text + "`");
  options.fixedDims[name] = extent;
  return llvm::Error::success();
}

static llvm::Error addShape(StringRef text, CompileOptions &options) {
  auto [name, value] = text.rsplit('=');
  std::vector<int64_t> shape;
  llvm::SmallVector<StringRef> parts;
  if (!value.empty())
    value.split(parts, 'x');
  for (StringRef part : parts) {
    int64_t extent;
    if (part.getAsInteger(10, extent) || extent < 0)
      return llvm::createStringError("--shape expects INPUT=AxBxC, found `" + text + "`");
    shape.push_back(extent);
  }
  if (name.empty() || text.find('=') == StringRef::npos)
    return llvm::createStringError("--shape expects INPUT=AxBxC, found `" + text + "`");
  options.fixedShapes[name] = shape;
  return llvm::Error::success();
}

void Options::addDims(CompileOptions &compile) {
  add("dim", "SYMBOL=SIZE", "fix a dim symbol",
      [&compile](StringRef text) { return addDim(text, compile); });
}

void Options::addCompileOptions(CompileOptions &compile) {
  add("target", "NAME", "what kernels run on: cpu (default), opencl or cuda",
      [&compile](StringRef text) -> llvm::Error {
        if (text != "cpu" && text != "opencl" && text != "cuda")
          return llvm::createStringError("--target accepts cpu, opencl or cuda, found `" + text +
                                         "`");
        compile.target = text.str();
        return llvm::Error::success();
      });
  addString("cpu", "NAME", "host (default), x86-64-v2|v3|v4, or an LLVM CPU name", compile.cpu);
  addString("gpu", "NAME", "of the target cuda: sm_80 (default; runs on later ones, too) or sm_90a",
            compile.gpu);
  addString("gpu-math", "NAME",
            "how matrix products of the target cuda multiply f32: f32 (default), tf32 or tf32x3",
            compile.gpuMath);
  addDims(compile);
  add("shape", "INPUT=AxB", "fix the shape of an input",
      [&compile](StringRef text) { return addShape(text, compile); });
  addString("functions", "F.onnx", "function bodies for operators without a converter",
            compile.functions);
  add("choices", "FILE.json",
      "put alternatives in place of attention: a JSON object of ONNX nodes and softmax, linear, "
      "cosformer or localN, as `attune search` writes it",
      [&compile](StringRef text) -> llvm::Error {
        auto choices = readChoiceFile(text);
        if (!choices)
          return choices.takeError();
        compile.choices = std::move(*choices);
        return llvm::Error::success();
      });
  add("backend", "NAME", "who generates kernels: auto (default: by cost), mlir or halide",
      [&compile](StringRef text) -> llvm::Error {
        if (text != "auto" && text != "mlir" && text != "halide")
          return llvm::createStringError("--backend accepts auto, mlir or halide, found `" + text +
                                         "`");
        compile.backend = text.str();
        return llvm::Error::success();
      });
  add("jobs", "N", "threads that generate code (default: all that the process may use)",
      [&compile](StringRef text) -> llvm::Error {
        if (text.getAsInteger(10, compile.jobs) || compile.jobs == 0)
          return llvm::createStringError("--jobs expects an integer of at least 1, found `" + text +
                                         "`");
        return llvm::Error::success();
      });
  add("form", "NAME",
      "how operators with several forms are computed: auto, quadratic, linear, "
      "chunked, recurrent or fft (default: by cost)",
      [&compile](StringRef text) -> llvm::Error {
        if (!symbolizeForm(text))
          return llvm::createStringError("there is no form `" + text + "`");
        compile.form = text.str();
        return llvm::Error::success();
      });
}

int Options::usageError(const llvm::Twine &message) {
  llvm::errs() << "attune " << command << ": " << message << "\n"
               << "usage: attune " << command << " " << usage << "\n";
  return kUsage;
}

void Options::printHelp() {
  llvm::outs() << "usage: attune " << command << " " << usage << "\n\noptions:\n";
  for (const Option &option : options)
    if (option.set) {
      std::string left = (option.name == "o" ? "-" : "--") + option.name;
      if (option.optionalValue)
        left += "[=" + option.value + "]";
      else if (!option.value.empty())
        left += (option.name == "o" ? " " : "=") + option.value;
      llvm::outs() << "  " << llvm::left_justify(left, 26) << option.help << "\n";
    }
}

std::optional<int> Options::parse(Args args, std::vector<std::string> &positional) {
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef arg = args[i];
    if (arg == "--help" || arg == "-h") {
      printHelp();
      return kOk;
    }
    if (!arg.starts_with("-") || arg == "-") {
      positional.push_back(arg.str());
      continue;
    }
    auto [name, value] = arg.ltrim('-').split('=');
    auto option = llvm::find_if(options, [&](const Option &o) { return o.name == name; });
    bool hasValue = arg.find('=') != StringRef::npos;
    if (option == options.end())
      return usageError("unknown option `" + arg + "`");
    if (!option->set)
      return usageError("`--" + name + "` is not implemented yet");
    if (option->value.empty() && hasValue)
      return usageError("`--" + name + "` takes no value");
    if (!option->value.empty() && !hasValue && !option->optionalValue) {
      if (i + 1 == args.size())
        return usageError("`--" + name + "` expects a value: " + option->value);
      value = args[++i];
    }
    if (llvm::Error error = option->set(value))
      return usageError(llvm::toString(std::move(error)));
  }
  return std::nullopt;
}

} // namespace attune::tools
