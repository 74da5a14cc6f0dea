//===- ArtifactBuilder.h - Makes artifacts for the tests of the runtime -----------------------===//
//
// Appends metadata and weights to the shared object of Kernels.c and fills its note, as
// docs/artifact.md says. Every part can be damaged before the file is written.
//
//   ArtifactBuilder builder(kScale, {1, 2, 3}); // of Models.h
//   builder.note.format = 2;
//   std::string path = builder.write();
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_RUNTIME_ARTIFACTBUILDER_H
#define ATTUNE_TEST_RUNTIME_ARTIFACTBUILDER_H

#include "attune/runtime/artifact.h"
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdlib.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace attune::test {

class ArtifactBuilder {
public:
  explicit ArtifactBuilder(std::string metadata, std::vector<float> weights = {})
      : metadata(std::move(metadata)), weights(std::move(weights)) {
    std::ifstream file(ATTUNE_TEST_KERNELS, std::ios::binary);
    code.assign(std::istreambuf_iterator<char>(file), {});
    char pattern[] = "/tmp/attune-runtime-test-XXXXXX";
    folder = mkdtemp(pattern);
    layOut();
  }
  ~ArtifactBuilder() { std::filesystem::remove_all(folder); }

  artifact::Note note;
  std::string metadata, code, folder;
  std::vector<float> weights;

  /// Fills `note` from the parts.
  void layOut() {
    auto up = [](uint64_t value, uint64_t align) { return (value + align - 1) / align * align; };
    note.metaOffset = code.size();
    note.metaSize = metadata.size();
    note.weightsSize = weights.size() * sizeof(float);
    uint64_t stop = note.metaOffset + note.metaSize;
    note.weightsOffset = note.weightsSize ? up(stop, artifact::kWeightsAlign) : 0;
    note.fileSize = note.weightsSize ? note.weightsOffset + note.weightsSize : stop;
    weightsAt = note.weightsOffset;
    note.metaHash = artifact::hash(metadata.data(), metadata.size());
  }

  /// The file's content: the parts where layOut put them, `note` as it is now.
  std::string content() const {
    std::string file = code + metadata;
    if (weightsAt) {
      file.resize(weightsAt);
      file.append(reinterpret_cast<const char *>(weights.data()), weights.size() * sizeof(float));
    }
    // The empty note that Kernels.c puts into the code.
    artifact::ElfNote head;
    size_t at = file.find(std::string(reinterpret_cast<const char *>(&head), sizeof head));
    if (at == std::string::npos)
      abort();
    memcpy(file.data() + at + offsetof(artifact::ElfNote, note), &note, sizeof note);
    return file;
  }

  std::string write(const std::string &content, const std::string &name = "model.so") const {
    std::string path = folder + "/" + name, temporary = path + ".new";
    std::ofstream(temporary, std::ios::binary) << content;
    std::filesystem::rename(temporary, path);
    return path;
  }
  std::string write() const { return write(content()); }

private:
  uint64_t weightsAt = 0;
};

} // namespace attune::test
#endif
