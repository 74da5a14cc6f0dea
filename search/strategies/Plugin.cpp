// A strategy from a shared library (search/strategy_plugin.h).
#include "attune/search/Document.h"
#include "attune/search/Strategy.h"
#include "attune/search/strategy_plugin.h"

#include "llvm/Support/Path.h"

#include <dlfcn.h>

namespace attune::search {
namespace {

using llvm::createStringError;

/// What the functions of `attune_host` stand on.
struct Host {
  SearchContext &context;
  Rng rng;

  static Host &of(void *context) { return *static_cast<Host *>(context); }
  llvm::ArrayRef<int32_t> list(const int32_t *genes) const {
    return {genes, context.space.geneCount()};
  }
  /// Genes that are none of the space have no canonical form.
  std::optional<Genes> canonical(const int32_t *genes) const {
    if (!context.space.contains(list(genes)))
      return std::nullopt;
    return context.space.canonical(list(genes));
  }
  attune_host functions() {
    return {
        this,
        [](void *self) { return of(self).rng.uniform(); },
        [](void *self, int32_t *genes) {
          llvm::copy(of(self).context.space.sample(of(self).rng), genes);
        },
        [](void *self, const int32_t *parent, double probability, int32_t *genes) {
          Host &host = of(self);
          if (auto from = host.canonical(parent))
            llvm::copy(host.context.space.mutate(host.rng, *from, probability), genes);
        },
        [](void *self, const int32_t *a, const int32_t *b, int32_t *genes) {
          Host &host = of(self);
          auto first = host.canonical(a), second = host.canonical(b);
          if (first && second)
            llvm::copy(host.context.space.crossover(host.rng, *first, *second), genes);
        },
        [](void *self, const int32_t *genes) -> int {
          auto candidate = of(self).canonical(genes);
          return candidate && of(self).context.legal(*candidate);
        },
        [](void *self, const int32_t *genes) -> int {
          auto candidate = of(self).canonical(genes);
          return candidate && of(self).context.seen(*candidate);
        },
    };
  }
};

class Plugin final : public Strategy {
public:
  /// Libraries stay loaded: what they registered must not vanish.
  static llvm::Expected<std::unique_ptr<Strategy>> load(const std::string &path, const Spec &spec,
                                                        const Space &space) {
    void *library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
      return createStringError("cannot load the strategy: " + std::string(::dlerror()));
    using Entry = const struct attune_strategy *(*)();
    auto entry = reinterpret_cast<Entry>(::dlsym(library, "attune_strategy"));
    if (!entry)
      return createStringError(path + " is no strategy: it has no function `attune_strategy`");
    const struct attune_strategy *functions = entry();
    if (!functions || functions->version != ATTUNE_STRATEGY_VERSION)
      return createStringError(
          path + " is a strategy of version " +
          (functions ? std::to_string(functions->version) : std::string("none")) +
          ", accepted is version " + std::to_string(ATTUNE_STRATEGY_VERSION) +
          ": build it with the strategy_plugin.h of this version");
    if (!functions->create || !functions->destroy || !functions->ask || !functions->tell ||
        !functions->save != !functions->load)
      return createStringError(path + " is no strategy: it needs create, destroy, ask, tell, and "
                                      "save and load together or neither");
    std::unique_ptr<Plugin> plugin(new Plugin(*functions, space));
    std::vector<const char *> options;
    for (const auto &[name, value] : spec.options)
      if (name != "file")
        options.insert(options.end(), {name.c_str(), value.c_str()});
    options.push_back(nullptr);
    char message[512] = "it does not say why";
    plugin->self = functions->create(&plugin->description, options.data(), message, sizeof message);
    message[sizeof message - 1] = 0;
    if (!plugin->self)
      return createStringError("the strategy " + path + " does not start: " + message);
    return std::unique_ptr<Strategy>(std::move(plugin));
  }

  ~Plugin() override {
    if (self)
      functions.destroy(self);
  }

  Proposal ask(SearchContext &context) override {
    constexpr unsigned kMostRefusals = 1000;
    Host host{context, context.rng()};
    attune_host offered = host.functions();
    for (unsigned trial = 0; trial < kMostRefusals; ++trial) {
      Genes genes(space.geneCount(), 0);
      attune_answer answer = functions.ask(self, &offered, genes.data());
      if (answer == ATTUNE_WAIT)
        return Proposal::wait();
      if (answer == ATTUNE_DONE)
        return Proposal::done();
      if (answer != ATTUNE_TRY)
        return Proposal::failed("it answers " + std::to_string(answer));
      std::optional<Genes> candidate = host.canonical(genes.data());
      if (!candidate)
        return Proposal::failed("it proposes genes that are none of this space");
      if (context.legal(*candidate))
        return Proposal::of(std::move(candidate), "plugin");
    }
    return Proposal::failed("it proposed " + std::to_string(kMostRefusals) +
                            " candidates in a row that break constraints");
  }

  void tell(const Candidate &candidate, const Outcome &outcome) override {
    bool ok = outcome.status == Status::Ok;
    functions.tell(self, candidate.id, candidate.genes.data(),
                   ok                                 ? ATTUNE_OK
                   : outcome.status == Status::Failed ? ATTUNE_FAILED
                                                      : ATTUNE_STOPPED,
                   ok ? outcome.goals.data() : nullptr);
  }

  llvm::json::Value save() const override {
    const char *state = functions.save ? functions.save(self) : nullptr;
    return state ? llvm::json::Value(llvm::json::fixUTF8(state)) : llvm::json::Value(nullptr);
  }

  bool load(const llvm::json::Value &state, const Space &) override {
    std::optional<llvm::StringRef> text = state.getAsString();
    return text && functions.load && functions.load(self, text->str().c_str());
  }

private:
  Plugin(const struct attune_strategy &functions, const Space &space)
      : functions(functions), space(space) {
    for (unsigned gene = 0; gene < space.geneCount(); ++gene)
      choices.push_back(space.choices(gene));
    description = {space.geneCount(), static_cast<uint32_t>(space.objectives.size()),
                   choices.data(), space.seed};
  }

  const struct attune_strategy &functions;
  const Space &space;
  std::vector<uint32_t> choices;
  attune_space description;
  void *self = nullptr;
};

} // namespace

llvm::Expected<std::unique_ptr<Strategy>> loadStrategy(const Spec &spec, const Space &space) {
  auto file = spec.options.find("file");
  if (file == spec.options.end())
    return createStringError("the strategy `plugin` needs `file`, a shared library");
  return Plugin::load(space.pathOf(file->second), spec, space);
}

} // namespace attune::search
