//===- ArtifactFile.h - Opens the file that `attune compile` writes ---------------------------===//
//
// First step of a session: everything that can be checked without running code of the file is
// checked before it is loaded (docs/artifact.md). The metadata's content is Program's business.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_ARTIFACTFILE_H
#define ATTUNE_RUNTIME_ARTIFACTFILE_H

#include "attune/runtime/artifact.h"
#include <string>

namespace attune::rt {

class ArtifactFile {
public:
  /// Reads and checks note and metadata; throws Error.
  explicit ArtifactFile(const std::string &path);
  ~ArtifactFile();
  ArtifactFile(const ArtifactFile &) = delete;

  /// Maps the weights and loads the code.
  void load();
  /// Address of an exported function; throws Error if there is none.
  void *function(const std::string &symbol) const;

  const std::string &metadata() const { return meta; }
  const char *weights() const { return weightsData; }
  uint64_t weightsSize() const { return note.weightsSize; }

private:
  void readNote();
  void checkNote() const;
  void read(uint64_t offset, void *data, uint64_t size, const char *what) const;
  void mapWeights();
  void loadCode();

  std::string path, meta;
  int file = -1;
  uint64_t fileSize = 0;
  artifact::Note note;
  void *mapping = nullptr;
  uint64_t mappingSize = 0;
  const char *weightsData = nullptr;
  void *library = nullptr;
};

} // namespace attune::rt
#endif
