#include "attune/codegen/cpu/ConvChannelMicro.h"

#include "attune/codegen/cpu/ConvChannels.h"
#include "attune/codegen/cpu/GemmMicro.h"

using namespace mlir;

namespace attune::codegen {

static func::FuncOp channelMicro(KernelBuilder &kb, ModuleOp module, int64_t tapRows,
                                 int64_t tapColumns, int64_t rows, int64_t step, int64_t panels) {
  ChannelTile tile = ChannelTile::of(kb.target);
  int64_t perPanel = kPanelColumns / tile.lanes, vectors = panels * perPanel;
  std::string name = "attune_conv_channels_" + std::to_string(tapRows) + "x" +
                     std::to_string(tapColumns) + "_" + std::to_string(rows) + "x" +
                     std::to_string(panels) + "_" + std::to_string(step);
  return convFunction(kb, module, name, [&](const ConvMicroCall &c) {
    auto at = [&](int64_t row, int64_t vector) {
      return kb.idx(row * tile.channels() + vector * tile.lanes);
    };
    Values sums = loadSums(kb, c, rows, vectors, at);
    sums = sumTaps(kb, tapRows, tapColumns, kPanelColumns, c, sums,
                   [&](Value filter, Value image, Values sums) {
                     Values w;
                     for (int64_t v = 0; v < vectors; ++v) {
                       Value panel = v < perPanel ? filter : kb.add(filter, c.panelStep);
                       w.push_back(
                           kb.load(kb.vec(), c.filters, kb.add(panel, v % perPanel * tile.lanes)));
                     }
                     for (int64_t row = 0; row < rows; ++row) {
                       Value x = kb.splat(kb.load(kb.f32(), c.image, kb.add(image, row * step)));
                       for (int64_t v = 0; v < vectors; ++v) {
                         Value &sum = sums[row * vectors + v];
                         sum = kb.fma(x, w[v], sum);
                       }
                     }
                     return sums;
                   });
    storeSums(kb, c, sums, rows, vectors, at);
  });
}

void callChannelMicro(KernelBuilder &kb, ModuleOp module, int64_t tapRows, int64_t tapColumns,
                      int64_t rows, int64_t step, int64_t panels, const ConvMicroCall &call) {
  callConv(kb, channelMicro(kb, module, tapRows, tapColumns, rows, step, panels), call);
}

void turnChannels(KernelBuilder &kb, ModuleOp module, Value sums, Value positions, Value channels,
                  Value turned) {
  ChannelTile tile = ChannelTile::of(kb.target);
  SmallVector<Type> inputs = {kb.ptr(), kb.index(), kb.index(), kb.ptr()};
  func::FuncOp turn = sharedFunction(kb, module, "attune_conv_turn", inputs, [&](ValueRange args) {
    kb.forLoop(kb.idx(0), args[1], tile.lanes, [&](Value position) {
      kb.forLoop(kb.idx(0), args[2], tile.lanes, [&](Value channel) {
        Values rows;
        Value from = kb.add(kb.mul(position, tile.channels()), channel);
        for (int64_t i = 0; i < tile.lanes; ++i)
          rows.push_back(kb.load(kb.vec(), args[0], kb.add(from, i * tile.channels())));
        Value to = kb.add(kb.mul(channel, tile.line()), position);
        for (auto [i, column] : llvm::enumerate(transposeVectors(kb, rows)))
          kb.store(column, args[3], kb.add(to, i * tile.line()));
      });
    });
  });
  func::CallOp::create(kb.b, kb.loc, turn, ValueRange{sums, positions, channels, turned});
}

} // namespace attune::codegen
