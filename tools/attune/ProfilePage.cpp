#include "attune/tools/attune/ProfilePage.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>

namespace attune::tools {
namespace {

std::string escaped(const std::string &text) {
  std::string result;
  llvm::raw_string_ostream os(result);
  llvm::printHTMLEscaped(text, os);
  return result;
}

class Page {
public:
  Page(llvm::raw_ostream &os, const Profile &profile) : os(os), profile(profile) {}

  void write(const std::string &model) {
    os << "<!doctype html><html lang=en><meta charset=utf-8><title>" << escaped(model)
       << "</title><style>body{font:14px "
          "sans-serif;margin:2em;max-width:70em}table{border-collapse:"
          "collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}td:last-"
          "child,th:last-child{text-align:left}svg{background:#fafafa}.bar{fill:#4a7ab5}.p{fill:"
          "#c33}.a{stroke:#999}text{font-size:11px;fill:#444}</style>\n<h1>"
       << escaped(model) << "</h1>\n<p>" << escaped(profile.inputs) << "; " << profile.threads
       << " threads; median of " << profile.runs << " runs: measured "
       << llvm::format("%.3f ms, predicted %.3f ms. ", profile.measured * 1e3,
                       profile.predicted * 1e3)
       << (profile.calibration.empty() ? "Predictions are those for a typical server: this machine "
                                         "was not calibrated."
                                       : "Calibration: " + escaped(profile.calibration))
       << "</p>\n";
    kernels();
    roofline();
    errors();
    os << "</html>\n";
  }

private:
  void kernels() {
    os << "<h2>Kernels</h2><table><tr><th>measured ms<th>share<th>predicted ms<th>error<th>GFLOP/s"
          "<th>GB/s<th>emitter<th>kernel\n";
    std::vector<const Profile::Call *> order;
    for (const Profile::Call &call : profile.calls)
      order.push_back(&call);
    llvm::sort(order, [](auto *a, auto *b) { return a->measured > b->measured; });
    double all = 1e-12;
    for (const Profile::Call *call : order)
      all += call->measured;
    for (const Profile::Call *call : order) {
      double seconds = std::max(call->measured, 1e-12);
      os << "<tr>"
         << llvm::format("<td>%.4f<td>%.1f %%<td>%.4f<td>%+.0f %%<td>%.1f<td>%.1f", seconds * 1e3,
                         100 * seconds / all, call->predicted * 1e3,
                         100 * (call->predicted / seconds - 1), call->flops / seconds / 1e9)
         << llvm::format("<td>%.1f", call->bytes / seconds / 1e9) << "<td>"
         << escaped(call->emitter) << "<td>" << escaped(call->name)
         << (call->form.empty() ? "" : " (" + escaped(call->form) + ")") << "\n";
    }
    os << "</table>\n";
  }

  /// Operations per second over operations per byte, both logarithmic.
  void roofline() {
    constexpr double kWidth = 640, kHeight = 320, kMargin = 40;
    double lowX = 1e9, highX = 1e-9, lowY = 1e15, highY = 1;
    auto x = [](const Profile::Call &call) { return call.flops / std::max(call.bytes, 1.0); };
    auto y = [](const Profile::Call &call) { return call.flops / std::max(call.measured, 1e-12); };
    std::vector<const Profile::Call *> shown;
    for (const Profile::Call &call : profile.calls) {
      if (call.flops <= 0)
        continue;
      shown.push_back(&call);
      lowX = std::min(lowX, x(call)), highX = std::max(highX, x(call));
      lowY = std::min(lowY, y(call)), highY = std::max(highY, y(call));
    }
    if (shown.empty())
      return;
    auto at = [](double value, double low, double high, double length) {
      double range = std::log(high * 1.5) - std::log(low / 1.5);
      return length * (std::log(value) - std::log(low / 1.5)) / range;
    };
    os << "<h2>Roofline</h2><p>Arithmetic reached (up) by operations per byte moved (right), both "
          "logarithmic.</p>"
       << llvm::format("<svg width=%.0f height=%.0f>", kWidth + 2 * kMargin, kHeight + kMargin);
    for (const Profile::Call *call : shown)
      os << llvm::format("<circle class=bar cx=%.1f cy=%.1f r=4>",
                         kMargin + at(x(*call), lowX, highX, kWidth),
                         kHeight - at(y(*call), lowY, highY, kHeight))
         << "<title>" << escaped(call->name)
         << llvm::format(": %.1f GFLOP/s, %.2f a byte</title></circle>", y(*call) / 1e9, x(*call));
    os << llvm::format("<text x=%.0f y=%.0f>%.2f</text>", kMargin, kHeight + 15, lowX)
       << llvm::format("<text x=%.0f y=%.0f>%.2f FLOP a byte</text>", kWidth - 30, kHeight + 15,
                       highX)
       << llvm::format("<text x=2 y=12>%.1f GFLOP/s</text><text x=2 y=%.0f>%.1f</text></svg>\n",
                       highY / 1e9, kHeight, lowY / 1e9);
  }

  /// How many kernels were predicted how well.
  void errors() {
    constexpr int kBins = 21;
    constexpr double kStep = 0.1, kBar = 26, kHeight = 160;
    std::vector<int> bins(kBins);
    for (const Profile::Call &call : profile.calls) {
      double error = call.predicted / std::max(call.measured, 1e-12) - 1;
      ++bins[std::clamp<int>(std::lround(error / kStep) + kBins / 2, 0, kBins - 1)];
    }
    int most = std::max(1, *llvm::max_element(bins));
    os << "<h2>Errors</h2><p>Kernel calls by the relative error of their prediction.</p>"
       << llvm::format("<svg width=%.0f height=%.0f>", kBins * kBar, kHeight + 20);
    for (int bin = 0; bin < kBins; ++bin) {
      double height = kHeight * bins[bin] / most;
      os << llvm::format("<rect class=bar x=%.1f y=%.1f width=%.1f height=%.1f><title>%d calls",
                         bin * kBar + 2, kHeight - height, kBar - 4, height, bins[bin])
         << "</title></rect>";
      if (bin % 5 == 0)
        os << llvm::format("<text x=%.0f y=%.0f>%+d %%</text>", bin * kBar, kHeight + 15,
                           static_cast<int>(std::lround((bin - kBins / 2) * kStep * 100)));
    }
    os << "</svg>\n";
  }

  llvm::raw_ostream &os;
  const Profile &profile;
};

} // namespace

std::string profilePage(const std::string &model, const Profile &profile) {
  std::string text;
  llvm::raw_string_ostream os(text);
  Page(os, profile).write(model);
  return text;
}

} // namespace attune::tools
