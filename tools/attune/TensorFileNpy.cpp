// The NumPy format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"

namespace attune::tools {
namespace {

constexpr llvm::StringLiteral kMagic("\x93NUMPY");
constexpr size_t kMaxRank = 64;

/// Where two dtypes share a row, the first is the one that a file stands for by itself.
constexpr struct {
  llvm::StringLiteral descr;
  attune_dtype dtype;
} kTypes[] = {{"|b1", ATTUNE_BOOL},       {"|i1", ATTUNE_I8},         {"|u1", ATTUNE_U8},
              {"<i2", ATTUNE_I16},        {"<u2", ATTUNE_U16},        {"<i4", ATTUNE_I32},
              {"<u4", ATTUNE_U32},        {"<i8", ATTUNE_I64},        {"<u8", ATTUNE_U64},
              {"<f2", ATTUNE_F16},        {"<f4", ATTUNE_F32},        {"<f8", ATTUNE_F64},
              {"<c8", ATTUNE_C64},        {"<c16", ATTUNE_C128},      {"<u2", ATTUNE_BF16},
              {"|u1", ATTUNE_F8E4M3FN},   {"|u1", ATTUNE_F8E4M3FNUZ}, {"|u1", ATTUNE_F8E5M2},
              {"|u1", ATTUNE_F8E5M2FNUZ}, {"|u1", ATTUNE_F8E8M0FNU},  {"|i1", ATTUNE_I4},
              {"|u1", ATTUNE_U4},         {"|i1", ATTUNE_I2},         {"|u1", ATTUNE_U2},
              {"|u1", ATTUNE_F4E2M1}};

unsigned bitsOf(attune_dtype dtype) { return dtype >> 8 & 0xff; }
bool isSigned(attune_dtype dtype) { return (dtype & 0xff) == 0; }

/// One byte per element <-> packed, the first element in the low bits.
void unpack(const Tensor &packed, std::string &bytes) {
  unsigned bits = bitsOf(packed.dtype()), perByte = 8 / bits;
  const auto *data = static_cast<const uint8_t *>(packed.data());
  for (uint64_t i = 0; i < packed.elements(); ++i) {
    unsigned value = data[i / perByte] >> i % perByte * bits & ((1u << bits) - 1);
    if (isSigned(packed.dtype()) && value >> (bits - 1))
      value |= ~0u << bits;
    bytes.push_back(char(value));
  }
}

llvm::Error pack(llvm::StringRef bytes, Tensor &packed) {
  unsigned bits = bitsOf(packed.dtype()), perByte = 8 / bits;
  int least = isSigned(packed.dtype()) ? -(1 << (bits - 1)) : 0, most = least + (1 << bits) - 1;
  auto *data = static_cast<uint8_t *>(packed.data());
  std::fill_n(data, packed.size(), uint8_t(0));
  for (uint64_t i = 0; i < bytes.size(); ++i) {
    int value = isSigned(packed.dtype()) ? int(int8_t(bytes[i])) : int(uint8_t(bytes[i]));
    if (value < least || value > most)
      return llvm::createStringError("element " + llvm::Twine(i) + " is " + llvm::Twine(value) +
                                     ", which is no " + dtypeName(packed.dtype()));
    data[i / perByte] |= (unsigned(value) & ((1u << bits) - 1)) << i % perByte * bits;
  }
  return llvm::Error::success();
}

/// The header is a Python dictionary with the keys descr, fortran_order and shape.
class Header {
public:
  explicit Header(llvm::StringRef text) : rest(text) {}
  llvm::StringRef descr;
  bool fortranOrder = false;
  std::vector<int64_t> shape;

  bool parse() {
    if (!take("{"))
      return false;
    while (!take("}")) {
      llvm::StringRef key;
      if (!quoted(key) || !take(":"))
        return false;
      bool good = key == "descr"           ? quoted(descr)
                  : key == "fortran_order" ? boolean()
                  : key == "shape"         ? tuple()
                                           : false;
      take(",");
      if (!good)
        return false;
    }
    return !descr.empty() && rest.trim().empty();
  }

private:
  bool take(llvm::StringRef token) {
    rest = rest.ltrim();
    return rest.consume_front(token);
  }
  bool quoted(llvm::StringRef &text) {
    if (!take("'"))
      return false;
    size_t stop = rest.find('\'');
    text = rest.take_front(stop);
    rest = rest.substr(stop).drop_front(stop == llvm::StringRef::npos ? 0 : 1);
    return stop != llvm::StringRef::npos;
  }
  bool boolean() {
    fortranOrder = take("True");
    return fortranOrder || take("False");
  }
  bool tuple() {
    if (!take("("))
      return false;
    while (!take(")")) {
      int64_t extent;
      rest = rest.ltrim();
      if (rest.consumeInteger(10, extent) || extent < 0 || shape.size() == kMaxRank)
        return false;
      shape.push_back(extent);
      take(",");
    }
    return true;
  }

  llvm::StringRef rest;
};

std::string shapeText(llvm::ArrayRef<int64_t> shape) {
  std::string text = "(";
  for (int64_t extent : shape)
    text += std::to_string(extent) + ", ";
  if (shape.size() > 1)
    text.resize(text.size() - 2);
  else if (shape.size() == 1)
    text.pop_back();
  return text + ")";
}

} // namespace

llvm::Expected<std::string> encodeNpy(const Tensor &tensor) {
  const auto *type =
      llvm::find_if(kTypes, [&](const auto &type) { return type.dtype == tensor.dtype(); });
  if (type == std::end(kTypes))
    return llvm::createStringError("unsupported: tensors of " + dtypeName(tensor.dtype()) +
                                   " in .npy files");
  std::string header = "{'descr': '" + type->descr.str() +
                       "', 'fortran_order': False, 'shape': " + shapeText(tensor.shape()) + ", }";
  // Magic, version and length take 10 bytes; the data begins at a multiple of 64.
  header.resize(llvm::alignTo(10 + header.size() + 1, 64) - 11, ' ');
  header += '\n';
  std::string content = kMagic.str() + std::string("\x01\x00", 2);
  content += char(header.size() & 0xff);
  content += char(header.size() >> 8);
  content += header;
  if (bitsOf(tensor.dtype()) < 8)
    unpack(tensor, content);
  else
    content.append(static_cast<const char *>(tensor.data()), tensor.size());
  return content;
}

llvm::Expected<Tensor> decodeNpy(llvm::StringRef content, attune_dtype wanted) {
  auto broken = [] { return llvm::createStringError("it is not a complete .npy file"); };
  if (!content.consume_front(kMagic) || content.size() < 6)
    return broken();
  unsigned version = uint8_t(content[0]);
  if (version < 1 || version > 3)
    return llvm::createStringError("unsupported: version " + llvm::Twine(version) +
                                   " of the .npy format");
  size_t lengthSize = version == 1 ? 2 : 4;
  uint64_t length = version == 1 ? llvm::support::endian::read16le(content.data() + 2)
                                 : llvm::support::endian::read32le(content.data() + 2);
  content = content.drop_front(2 + lengthSize);
  if (content.size() < length)
    return broken();
  Header header(content.take_front(length));
  content = content.drop_front(length);
  if (!header.parse())
    return llvm::createStringError("unsupported: a .npy header other than one plain array's");
  if (header.fortranOrder && header.shape.size() > 1)
    return llvm::createStringError("unsupported: Fortran order; numpy.ascontiguousarray gives the "
                                   "C order that is accepted");
  auto isType = [&](const auto &type) { return type.descr == header.descr; };
  const auto *type =
      llvm::find_if(kTypes, [&](const auto &type) { return isType(type) && type.dtype == wanted; });
  if (type == std::end(kTypes))
    type = llvm::find_if(kTypes, isType);
  if (type == std::end(kTypes))
    return llvm::createStringError("unsupported: NumPy dtype `" + header.descr + "`");

  try {
    bool sub = bitsOf(type->dtype) < 8;
    Tensor shape = Tensor::view(sub ? attune_dtype(ATTUNE_U8) : type->dtype, header.shape, nullptr);
    if (shape.size() != content.size())
      return llvm::createStringError("shape " + shapeText(header.shape) + " of `" + header.descr +
                                     "` takes " + llvm::Twine(shape.size()) +
                                     " bytes, the file has " + llvm::Twine(content.size()));
    Tensor tensor(type->dtype, header.shape);
    if (sub) {
      if (llvm::Error error = pack(content, tensor))
        return std::move(error);
    } else {
      std::copy(content.begin(), content.end(), static_cast<char *>(tensor.data()));
    }
    return tensor;
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
}

} // namespace attune::tools
