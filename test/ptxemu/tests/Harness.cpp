#include "attune/test/ptxemu/tests/Harness.h"
#include <cstdlib>
#include <dlfcn.h>

namespace attune::ptx {

const rt::cuda::Driver &device() {
  const rt::cuda::Driver &driver = rt::cuda::driver();
  static rt::cuda::Context context = [&] {
    rt::cuda::Context created = nullptr;
    driver.check(driver.primaryRetain(&created, 0), "context");
    return created;
  }();
  driver.setCurrent(context);
  return driver;
}

static auto counter() {
  return reinterpret_cast<uint64_t (*)(const char *)>(
      dlsym(rt::cuda::driver().library, "attune_ptx_count"));
}

bool onInterpreter() { return counter(); }

uint64_t count(const char *what) { return onInterpreter() ? counter()(what) : 0; }

Code::Code(const std::string &ptx) {
  std::vector<char> log(16384);
  rt::cuda::JitOption options[] = {rt::cuda::JitErrorLogBuffer, rt::cuda::JitErrorLogBufferBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  rt::cuda::Result result = device().moduleLoadDataEx(&module, ptx.c_str(), 2, options, values);
  if (result != rt::cuda::Success)
    error = message(result) + " " + log.data();
}

Code::~Code() {
  if (module)
    device().moduleUnload(module);
}

rt::cuda::Function Code::function(const char *name) const {
  rt::cuda::Function function = nullptr;
  EXPECT_EQ(error, "");
  EXPECT_EQ(device().moduleGetFunction(&function, module, name), rt::cuda::Success) << name;
  return function;
}

rt::cuda::Result launchRaw(const Code &code, const char *name, Shape shape,
                           std::vector<void *> parameters) {
  const rt::cuda::Driver &driver = device();
  rt::cuda::Function function = code.function(name);
  if (!function)
    return rt::cuda::NotFound;
  if (shape.shared)
    driver.functionSetAttribute(function, rt::cuda::FunctionMaxDynamicSharedBytes,
                                int(shape.shared));
  rt::cuda::Result result = driver.launch(function, shape.grid, 1, 1, shape.block, 1, 1,
                                          shape.shared, nullptr, parameters.data(), nullptr);
  return result == rt::cuda::Success ? driver.synchronize() : result;
}

std::string message(rt::cuda::Result result) { return rt::cuda::driver().describe(result); }

std::string head(const char *target, const char *version) {
  return rt::text(".version ", version, "\n.target ", target, "\n.address_size 64\n");
}

std::string kernel(unsigned parameters, const std::string &body, const std::string &declarations) {
  std::string text = declarations + ".visible .entry k(";
  for (unsigned i = 0; i < parameters; ++i)
    text += rt::text(i ? ", " : "", ".param .u64 p", i);
  text += ")\n{\n.reg .pred %p<64>;\n.reg .b16 %h<64>;\n.reg .b32 %r<64>;\n.reg .f32 %f<64>;\n.reg "
          ".b64 %d<64>;\n"
          "mov.u32 %r0, %tid.x;\n";
  for (unsigned i = 0; i < parameters; ++i)
    text +=
        rt::text("ld.param.u64 %d", i, ", [p", i, "];\ncvta.to.global.u64 %d", i, ", %d", i, ";\n");
  return text + body + "\nret;\n}\n";
}

std::string without(std::string text, const std::string &part) {
  size_t begin = text.find(part);
  EXPECT_NE(begin, std::string::npos) << part;
  begin = text.rfind('\n', begin) + 1;
  return text.erase(begin, text.find('\n', begin) - begin + 1);
}

std::string replaced(std::string text, const std::string &part, const std::string &by) {
  size_t begin = text.find(part);
  EXPECT_NE(begin, std::string::npos) << part;
  return text.replace(begin, part.size(), by);
}

/// Registers named d, a, b, c, e, loaded from 8 bytes per operand and thread; d is stored likewise.
static std::string vectorKernel(const Vectors &vectors, size_t number) {
  static const char *names[] = {"d", "a", "b", "c", "e"};
  std::string body = rt::text(".visible .entry k", number,
                              "(.param .u64 p0)\n{\n.reg .b32 %t;\n.reg .b64 %x, %y;\n");
  for (size_t i = 0; i < vectors.bits.size(); ++i)
    body += vectors.bits[i] == 1 ? rt::text(".reg .pred ", names[i], ";\n")
                                 : rt::text(".reg .b", vectors.bits[i], " ", names[i], ";\n");
  const size_t stride = vectors.bits.size() * 8;
  body += rt::text("ld.param.u64 %x, [p0];\ncvta.to.global.u64 %x, %x;\nmov.u32 %t, %tid.x;\n"
                   "mul.wide.u32 %y, %t, ",
                   stride, ";\nadd.u64 %x, %x, %y;\n");
  for (size_t i = 1; i < vectors.bits.size(); ++i)
    body +=
        vectors.bits[i] == 1
            ? rt::text("ld.global.u32 %t, [%x+", i * 8, "];\nsetp.ne.u32 ", names[i], ", %t, 0;\n")
            : rt::text("ld.global.b", vectors.bits[i], " ", names[i], ", [%x+", i * 8, "];\n");
  body += vectors.instruction;
  body += "\nmov.u64 %y, 0;\nst.global.u64 [%x], %y;\n";
  body += vectors.bits[0] == 1 ? "selp.u32 %t, 1, 0, d;\nst.global.u32 [%x], %t;\n"
                               : rt::text("st.global.b", vectors.bits[0], " [%x], d;\n");
  return body + "ret;\n}\n";
}

void check(const std::vector<Vectors> &all, const char *target, const char *version) {
  std::string text = head(target, version);
  for (size_t i = 0; i < all.size(); ++i)
    text += vectorKernel(all[i], i);
  Code code(text);
  ASSERT_EQ(code.error, "");
  for (size_t i = 0; i < all.size(); ++i) {
    const Vectors &vectors = all[i];
    std::vector<uint64_t> data;
    for (const auto &row : vectors.rows) {
      ASSERT_EQ(row.size(), vectors.bits.size()) << vectors.instruction;
      data.insert(data.end(), row.begin(), row.end());
    }
    Buffer<uint64_t> buffer(data);
    rt::cuda::Result result = launch(code, rt::text("k", i).c_str(),
                                     {1, unsigned(vectors.rows.size()), 0}, buffer.address);
    ASSERT_EQ(result, rt::cuda::Success) << vectors.instruction << ": " << message(result);
    std::vector<uint64_t> results = buffer.values();
    for (size_t row = 0; row < vectors.rows.size(); ++row) {
      std::ostringstream operands;
      for (uint64_t operand : vectors.rows[row])
        operands << std::hex << " 0x" << operand;
      EXPECT_EQ(results[row * vectors.bits.size()], vectors.rows[row][0])
          << vectors.instruction << " expected and operands:" << operands.str();
    }
  }
}

} // namespace attune::ptx
