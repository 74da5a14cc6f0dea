//===- Builders.h - Networks of calibration by kind -------------------------------------------===//
//
// What `calibrationNetworks` chooses from; one file per kind. All have symbols `batch` and `seq`
// unless they say otherwise.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_BUILDERS_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_BUILDERS_H

#include "attune/frontend/onnx/GraphBuilder.h"
#include "attune/tools/attune/calibrate/Networks.h"

namespace attune::tools {

using onnx::GraphBuilder;
using Name = std::string; ///< of a value in a graph
using Sizes = std::vector<Network::Size>;

inline const Sizes kSizes{{1, 1}, {1, 14}, {1, 50}, {1, 128}, {1, 400}, {6, 40}};
/// Of networks that are cheap: also results beyond the second cache level.
inline const Sizes kMoreSizes{{1, 1}, {1, 14}, {1, 50}, {1, 128}, {1, 400}, {6, 40}, {4, 250}};
/// Of caches: short and long ones, some texts at once.
inline const Sizes kCacheSizes{{1, 20}, {1, 200}, {4, 64}, {1, 700}};

/// What blocks of a transformer differ by.
struct Block {
  int64_t width, heads, inner, layers;
  int64_t keyHeads = 0; ///< 0: as many as heads
  bool causal = false, normFirst = false, rms = false, gated = false;
  bool tokens = false;  ///< the input are words, the output is a few numbers for each text
  bool patches = false; ///< a token of its own before the others, and places are added
  bool rotary = false;  ///< queries and keys are turned by their places
  bool cached = false;  ///< one new position per text, the others are keys and values of before
  std::string activation = "Gelu";
  std::string attention =
      "softmax"; ///< or relu (linear, both directions), or a rule of LinearAttention
};

Network transformer(const std::string &name, const Block &block);
/// Attention within shifted windows of an image of `size` x `size` tokens; only `batch` is free.
Network shiftedWindows(const std::string &name, int64_t heads, int64_t depth, int64_t size,
                       int64_t window);

/// Rows of a table, then operators that stay within a row.
Network rows(const std::string &name, int64_t width);
/// Heads turned by angles that follow from their positions (rotary embedding), and text with a
/// first token of its own.
Network rotations(const std::string &name, int64_t heads, int64_t depth);
/// What lies between products: masks, places, parts, transposes, means; each followed by a small
/// product, so that results are read again.
Network pieces(const std::string &name, int64_t heads, int64_t depth);
/// Attention without projections, as caches and cross attention have it: of all positions to each
/// other, or of a few new ones.
Network scores(const std::string &name, int64_t heads, int64_t depth, bool causal,
               int64_t queries = 0);

/// Dense, pointwise and channelwise convolutions, a pooling, and half the size; without symbols.
Network convolutions(const std::string &name, int64_t channels, int64_t size);
/// Windows of one image, each a kernel of its own; without symbols.
Network windows(const std::string &name, int64_t channels, int64_t size);
/// Attention maps whose heads mix, with windows and without; without symbols.
Network maps(const std::string &name, int64_t heads, int64_t length, int64_t depth);
/// Convolutions of images of any size.
Network images(const std::string &name, int64_t channels);

} // namespace attune::tools
#endif
