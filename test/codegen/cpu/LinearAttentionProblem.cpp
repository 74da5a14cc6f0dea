#include "LinearAttentionProblem.h"

#include <cmath>

namespace attune::test {

namespace {

std::string join(const std::vector<std::string> &parts) {
  std::string text;
  for (const std::string &part : parts)
    text += (text.empty() ? "" : ", ") + part;
  return text;
}

/// One tensor argument: name and extents ("?b", "?n", "?m", "?p" are dynamic, the last N + M - 1).
struct Argument {
  std::string name;
  std::vector<std::string> extents;
  std::string type(const std::string &dtype) const {
    std::string text = "tensor<";
    for (const std::string &extent : extents)
      text += (extent[0] == '?' ? "?" : extent) + "x";
    return text + dtype + ">";
  }
};

std::vector<Argument> argumentsOf(const LinearCase &c) {
  std::string h = std::to_string(c.heads), hk = std::to_string(c.kvHeads);
  std::string d = std::to_string(c.keyDim), e = std::to_string(c.valueDim);
  std::string f = std::to_string(c.totalFeatures()), r = std::to_string(c.terms);
  std::string m = c.causal ? "?n" : "?m";
  std::vector<Argument> all;
  auto wide = [](int64_t heads, int64_t depth) { return std::to_string(heads * depth); };
  if (c.interleaved)
    all = {{"q", {"?b", "?n", wide(c.heads, c.keyDim)}},
           {"k", {"?b", m, wide(c.kvHeads, c.keyDim)}},
           {"v", {"?b", m, wide(c.kvHeads, c.valueDim)}}};
  else
    all = {{"q", {"?b", h, "?n", d}}, {"k", {"?b", hk, m, d}}, {"v", {"?b", hk, m, e}}};
  if (c.terms) {
    all.push_back({"tq", {r, "?n"}});
    all.push_back({"tk", {r, m}});
  }
  if (c.toeplitz == 1)
    all.push_back({"c", {"?p"}});
  if (c.toeplitz == 2)
    all.push_back({"c", {h, "?p"}});
  if (c.gated()) {
    all.push_back({"g", {"?b", hk, m}});
    if (c.featureGates)
      all.back().extents.push_back(d);
  }
  if (c.delta())
    all.push_back({"beta", {"?b", hk, m}});
  if (c.keyMask)
    all.push_back({"km", {"?b", m}});
  if (c.initState)
    all.push_back({"s0", {"?b", hk, f, e}});
  if (c.initNorm)
    all.push_back({"z0", {"?b", hk, f}});
  return all;
}

constexpr double kMu = 0.75, kStep = 0.5;

double phi(const LinearCase &c, double x) { return c.features ? std::fmax(x, 0) + 0.25 : x; }

} // namespace

std::string LinearCase::text() const {
  std::vector<Argument> args = argumentsOf(*this);
  std::vector<std::string> declared, names, types, inner;
  std::string dims;
  for (const Argument &arg : args) {
    std::string type = arg.type(dtype);
    declared.push_back("%" + arg.name + ": " + type);
    names.push_back("%" + arg.name);
    types.push_back(type);
    inner.push_back("%a" + arg.name + ": " + type);
    for (const std::string &extent : arg.extents)
      if (extent[0] == '?')
        dims += std::string(dims.empty() ? "" : ", ") + (extent == "?b"   ? "0"
                                                         : extent == "?n" ? "1"
                                                         : extent == "?m" ? "2"
                                                                          : "3");
  }
  auto typeOf = [&](const std::string &name) {
    for (const Argument &arg : args)
      if (arg.name == name)
        return arg.type(dtype);
    return std::string();
  };
  std::string h = std::to_string(heads), hk = std::to_string(kvHeads);
  std::string d = std::to_string(keyDim), e = std::to_string(valueDim);
  std::string body, query = "%aq", key = "%ak", value = "%av";
  auto four = [&](const std::string &heads, const std::string &depth) {
    return "tensor<?x" + heads + "x?x" + depth + "x" + dtype + ">";
  };
  std::string extent = causal ? "%dn" : "%dm";
  if (interleaved) {
    auto view = [&](const std::string &name, const std::string &heads, const std::string &depth,
                    const std::string &rows) {
      std::string flat = typeOf(name),
                  split = "tensor<?x?x" + heads + "x" + depth + "x" + dtype + ">";
      body += "%e" + name + " = tensor.expand_shape %a" + name +
              " [[0], [1], [2, 3]] output_shape [%db, " + rows + ", " + heads + ", " + depth +
              "] : " + flat + " into " + split + "\n%i" + name + " = tensor.empty(%db, " + rows +
              ") : " + four(heads, depth) + "\n%t" + name + " = linalg.transpose ins(%e" + name +
              " : " + split + ") outs(%i" + name + " : " + four(heads, depth) +
              ") permutation = [0, 2, 1, 3]\n";
      return "%t" + name;
    };
    query = view("q", h, d, "%dn");
    key = view("k", hk, d, extent);
    value = view("v", hk, e, extent);
  }
  std::string op = "attune.linear_attention ins(" + query + ", " + key + ", " + value + " : " +
                   four(h, d) + ", " + four(hk, d) + ", " + four(hk, e) + ")";
  auto operand = [&](const std::string &word, const std::string &name) {
    op += " " + word + "(%a" + name + " : " + typeOf(name) + ")";
  };
  if (terms)
    op += " pos(%atq, %atk : " + typeOf("tq") + ", " + typeOf("tk") + ")";
  if (toeplitz)
    operand("toeplitz", "c");
  if (gated())
    operand("decay", "g");
  if (delta())
    operand("beta", "beta");
  if (momentum())
    op += update == "momentum" ? " momentum(%mu, %step : f32, f32)" : " momentum(%step : f32)";
  if (keyMask)
    operand("key_mask", "km");
  if (initState)
    operand("init_state", "s0");
  if (initNorm)
    operand("init_norm", "z0");
  op += " {direction = #attune.direction<" + std::string(causal ? "causal" : "bidirectional") +
        ">, update = #attune.update<" + update + ">, norm = #attune.weighting<" + norm +
        ">, den = #attune.denominator<" + den + ">, eps_mode = #attune.eps_mode<" + epsMode +
        ">, form = #attune.form<" + form + ">";
  if (!prices.empty())
    op += ", form_prices = #attune.form_prices<" + prices + ">";
  if (norm == "sum")
    op += ", eps = " + std::to_string(eps) + " : f64";
  std::string resultType = four(h, e),
              flat = "tensor<?x?x" + std::to_string(heads * valueDim) + "x" + dtype + ">";
  std::string stateType =
      "tensor<?x" + hk + "x" + std::to_string(totalFeatures()) + "x" + e + "x" + dtype + ">";
  std::string normType =
      "tensor<?x" + hk + "x" + std::to_string(totalFeatures()) + "x" + dtype + ">";
  op += "} -> " + resultType;
  std::vector<std::string> results = {"%o"}, yielded = {interleaved ? "%r" : "%o"};
  std::vector<std::string> out = {interleaved ? flat : resultType};
  std::string resultDims = "%b, %n";
  auto more = [&](const std::string &word, const std::string &name, const std::string &type) {
    op += " " + word + "(" + type + ")";
    results.push_back(name);
    yielded.push_back(name);
    out.push_back(type);
    resultDims += ", %b";
  };
  if (finalState)
    more("final_state", "%s1", stateType);
  if (finalNorm)
    more("final_norm", "%z1", normType);
  auto region = [&](const std::string &word, const std::string &least, const std::string &add) {
    op += " " + word + " {\n^bb1(%x: f32):\n%least = arith.constant " + least +
          " : f32\n%add = arith.constant " + add +
          " : f32\n%top = arith.maximumf %x, %least : f32\n%y = arith.addf %top, %add : f32\n"
          "attune.yield %y : f32\n}";
  };
  if (features) {
    region("phi_q", "0.0", "0.25");
    region("phi_k", "0.0", "0.25");
  }
  if (stateMap)
    region("state", "0.5", "0.0");
  if (momentum())
    body += "%mu = arith.constant " + std::to_string(kMu) + " : f32\n%step = arith.constant " +
            std::to_string(kStep) + " : f32\n";
  body += join(results) + " = " + op + "\n";
  if (interleaved)
    body += "%back = tensor.empty(%db, %dn) : tensor<?x?x" + h + "x" + e + "x" + dtype +
            ">\n%to = linalg.transpose ins(%o : " + resultType + ") outs(%back : tensor<?x?x" + h +
            "x" + e + "x" + dtype + ">) permutation = [0, 2, 1, 3]\n" +
            "%r = tensor.collapse_shape %to [[0], [1], [2, 3]] : tensor<?x?x" + h + "x" + e + "x" +
            dtype + "> into " + flat + "\n";
  body += "attune.yield " + join(yielded) + " : " + join(out) + "\n";
  std::string outs = out.size() == 1 ? out[0] : "(" + join(out) + ")";
  std::string head = "%0" + (out.size() == 1 ? "" : ":" + std::to_string(out.size()));
  std::vector<std::string> returned;
  for (size_t i = 0; i < out.size(); ++i)
    returned.push_back(out.size() == 1 ? "%0" : "%0#" + std::to_string(i));
  return "func.func @main(" + join(declared) + ", %b: index, %n: index, %m: index) -> " + outs +
         " {\n%one = arith.constant 1 : index\n%nm = arith.addi %n, %m : index\n"
         "%p = arith.subi %nm, %one : index\n" +
         head + " = attune.kernel ins(" + join(names) + " : " + join(types) +
         ") dims(%b, %n, %m, %p) result_dims(" + resultDims +
         ") attributes {input_dims = array<i64: " + dims + ">} -> " + join(out) + " {\n^bb0(" +
         join(inner) + ", %db: index, %dn: index, %dm: index, %dp: index):\n" + body +
         "}\nreturn " + join(returned) + " : " + join(out) + "\n}\n";
}

//===- Data
//---------------------------------------------------------------------------------------===//

LinearProblem::LinearProblem(const LinearCase &what, LinearShape shape, unsigned seed)
    : what(what), shape(shape) {
  if (what.causal)
    this->shape.keys = shape.keys = shape.queries;
  for (const Argument &arg : argumentsOf(what)) {
    std::vector<int64_t> extents;
    for (const std::string &extent : arg.extents)
      extents.push_back(extent == "?b"   ? shape.batch
                        : extent == "?n" ? shape.queries
                        : extent == "?m" ? shape.keys
                        : extent == "?p" ? std::max<int64_t>(0, shape.queries + shape.keys - 1)
                                         : std::stoll(extent));
    double low = -1, high = 1;
    if (arg.name == "g")
      low = -0.5, high = 0;
    if (arg.name == "tq" || arg.name == "tk" || arg.name == "c" || arg.name == "beta" ||
        arg.name == "z0")
      low = 0.125;
    inputs.push_back(Array::random(what.dtype, extents, seed++, low, high));
    if (arg.name == "km")
      for (int64_t i = 0; i < inputs.back().size(); ++i)
        inputs.back().set(i, i % 3 != 1);
    // A stable delta rule: keys of length about 1.
    if (arg.name == "k" && what.delta())
      for (int64_t i = 0; i < inputs.back().size(); ++i)
        inputs.back().set(i, inputs.back()[i] / std::sqrt(what.keyDim / 2.0));
    names.push_back(arg.name);
  }
}

Array &LinearProblem::input(const std::string &name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name)
      return inputs[i];
  std::abort();
}

//===- The definition
//-----------------------------------------------------------------------------===//

void LinearProblem::solve() {
  const LinearCase &c = what;
  int64_t B = shape.batch, N = shape.queries, M = c.causal ? N : shape.keys, D = c.keyDim;
  int64_t E = c.valueDim, R = std::max<int64_t>(c.terms, 1), F = R * D, group = c.heads / c.kvHeads;
  auto element = [&](const char *name, int64_t heads, int64_t depth, int64_t rows, int64_t b,
                     int64_t h, int64_t n, int64_t d) {
    return c.interleaved ? input(name)[((b * rows + n) * heads + h) * depth + d]
                         : input(name)[((b * heads + h) * rows + n) * depth + d];
  };
  auto query = [&](int64_t b, int64_t h, int64_t n) {
    std::vector<double> u(F);
    for (int64_t f = 0; f < F; ++f)
      u[f] = phi(c, element("q", c.heads, D, N, b, h, n, f % D)) *
             (c.terms ? input("tq")[f / D * N + n] : 1);
    return u;
  };
  auto key = [&](int64_t b, int64_t h, int64_t m) {
    std::vector<double> y(F);
    for (int64_t f = 0; f < F; ++f)
      y[f] = phi(c, element("k", c.kvHeads, D, M, b, h, m, f % D)) *
             (c.terms ? input("tk")[f / D * M + m] : 1) * (c.keyMask ? input("km")[b * M + m] : 1);
    return y;
  };
  auto value = [&](int64_t b, int64_t h, int64_t m, int64_t e) {
    return element("v", c.kvHeads, E, M, b, h, m, e);
  };
  result.assign(B * c.heads * N * E, 0);
  state.assign(B * c.kvHeads * F * E, 0);
  normaliser.assign(B * c.kvHeads * F, 0);
  auto write = [&](int64_t b, int64_t h, int64_t n, int64_t e, double x) {
    result[c.interleaved ? ((b * N + n) * c.heads + h) * E + e
                         : ((b * c.heads + h) * N + n) * E + e] = x;
  };
  auto divisor = [&](double sum, int64_t n) {
    if (c.norm == "count")
      return static_cast<double>(c.causal ? n + 1 : M);
    if (c.norm == "none")
      return 1.0;
    return c.epsMode == "add" ? sum + c.eps : std::fmax(sum, c.eps);
  };
  for (int64_t b = 0; b < B; ++b)
    for (int64_t hk = 0; hk < c.kvHeads; ++hk) {
      int64_t head = b * c.kvHeads + hk;
      if (c.toeplitz) {
        for (int64_t h = hk * group; h < (hk + 1) * group; ++h)
          for (int64_t n = 0; n < N; ++n) {
            std::vector<double> u = query(b, h, n), numer(E, 0);
            double sum = 0;
            for (int64_t m = 0; m < (c.causal ? n + 1 : M); ++m) {
              std::vector<double> y = key(b, hk, m);
              double dot = 0;
              for (int64_t f = 0; f < F; ++f)
                dot += u[f] * y[f];
              double w = dot * input("c")[(c.toeplitz == 2 ? h * (N + M - 1) : 0) + m - n + N - 1];
              sum += w;
              for (int64_t e = 0; e < E; ++e)
                numer[e] += w * value(b, hk, m, e);
            }
            for (int64_t e = 0; e < E; ++e)
              write(b, h, n, e, numer[e] / divisor(sum, n));
          }
        continue;
      }
      std::vector<double> s(F * E, 0), p(F * E, 0), z(F, 0), pz(F, 0), u0(F * E, 0);
      for (int64_t i = 0; i < F * E && c.initState; ++i)
        s[i] = input("s0")[head * F * E + i];
      for (int64_t f = 0; f < F && c.initNorm; ++f)
        z[f] = input("z0")[head * F + f];
      auto read = [&](int64_t n) {
        for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
          std::vector<double> u = query(b, h, n), numer(E, 0);
          double sum = 0;
          for (int64_t f = 0; f < F; ++f) {
            sum += u[f] * z[f];
            for (int64_t e = 0; e < E; ++e)
              numer[e] += u[f] * s[f * E + e];
          }
          for (int64_t e = 0; e < E; ++e)
            write(b, h, n, e, numer[e] / divisor(sum, n));
        }
      };
      for (int64_t m = 0; m < M; ++m) {
        std::vector<double> y = key(b, hk, m), change(E);
        auto gate = [&](int64_t f) {
          if (!c.gated())
            return 1.0;
          return std::exp(c.featureGates ? input("g")[(head * M + m) * D + f]
                                         : input("g")[head * M + m]);
        };
        for (int64_t i = 0; i < F * E; ++i)
          s[i] *= gate(i / E);
        for (int64_t e = 0; e < E; ++e) {
          change[e] = value(b, hk, m, e);
          if (c.delta()) {
            for (int64_t f = 0; f < F; ++f)
              change[e] -= y[f] * s[f * E + e];
            change[e] *= input("beta")[head * M + m];
          }
        }
        double mu = kMu, step = kStep;
        if (c.update == "adaptive_momentum" && m == 0) {
          mu = 0, step = 1;
        } else if (c.update == "adaptive_momentum") {
          double difference = 0, length = 0;
          for (int64_t i = 0; i < F * E; ++i) {
            difference += std::pow(y[i / E] * change[i % E] - u0[i], 2);
            length += p[i] * p[i];
          }
          mu = std::pow(1 - std::sqrt(kStep * std::sqrt(difference) / std::sqrt(length)), 2);
          mu = mu > 0.9999 ? 0.9999 : mu;
        }
        for (int64_t i = 0; i < F * E; ++i) {
          u0[i] = y[i / E] * change[i % E];
          if (c.momentum()) {
            p[i] = mu * p[i] - step * u0[i];
            s[i] -= p[i];
          } else {
            s[i] += u0[i];
          }
        }
        for (int64_t f = 0; f < F; ++f) {
          pz[f] = mu * pz[f] - step * y[f];
          if (c.momentum() && c.den == "weighted")
            z[f] -= pz[f];
          else
            z[f] = (c.den == "weighted" ? gate(f) : 1) * z[f] + y[f];
        }
        if (c.causal)
          read(m);
      }
      if (!c.causal) {
        for (double &x : s)
          x = c.stateMap ? std::fmax(x, 0.5) : x;
        for (int64_t n = 0; n < N; ++n)
          read(n);
      }
      std::copy(s.begin(), s.end(), state.begin() + head * F * E);
      std::copy(z.begin(), z.end(), normaliser.begin() + head * F);
    }
}

double LinearProblem::error(const KernelRun &run) {
  if (run.code != 0)
    return INFINITY;
  if (result.empty())
    solve();
  double worst = 0;
  auto compare = [&](const Array &got, const std::vector<double> &expected, int64_t row) {
    if (got.size() != static_cast<int64_t>(expected.size())) {
      worst = INFINITY;
      return;
    }
    for (int64_t i = 0; i < got.size(); i += row) {
      double largest = 1e-3;
      for (int64_t j = i; j < i + row; ++j)
        if (std::isfinite(expected[j]))
          largest = std::fmax(largest, std::fabs(expected[j]));
      for (int64_t j = i; j < i + row; ++j) {
        if (std::isnan(expected[j]) && std::isnan(got[j]))
          continue;
        double difference = std::fabs(got[j] - expected[j]) / largest;
        worst = std::isnan(difference) ? INFINITY : std::fmax(worst, difference);
      }
    }
  };
  compare(run.outputs[0], result, what.valueDim);
  size_t next = 1;
  if (what.finalState)
    compare(run.outputs[next++], state, what.valueDim);
  if (what.finalNorm)
    compare(run.outputs[next++], normaliser, what.totalFeatures());
  return worst;
}

} // namespace attune::test
