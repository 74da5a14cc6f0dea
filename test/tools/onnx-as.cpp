// Writes a model given in ONNX's text syntax as an .onnx file: onnx-as IN.onnxtxt -o OUT.onnx

#include "onnx/defs/parser.h"
#include <fstream>
#include <iostream>
#include <sstream>

int main(int argc, char **argv) {
  if (argc != 4 || std::string(argv[2]) != "-o") {
    std::cerr << "usage: onnx-as IN.onnxtxt -o OUT.onnx\n";
    return 2;
  }
  std::stringstream stream;
  stream << std::ifstream(argv[1]).rdbuf();
  std::string text = stream.str();
  try {
    onnx::ModelProto model;
    onnx::OnnxParser parser(text.c_str());
    auto status = parser.Parse(model);
    if (!status.IsOK()) {
      std::cerr << argv[1] << ": " << status.ErrorMessage() << "\n";
      return 1;
    }
    std::ofstream out(argv[3], std::ios::binary);
    return model.SerializeToOstream(&out) ? 0 : 1;
  } catch (const std::exception &error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
}
