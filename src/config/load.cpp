#include "config/load.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include "config/suggest.h"
#include "config/text.h"
#include "config/variables.h"

namespace rstorch::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t max_files = 100;

// Files named like the missing one, for "did you mean".
std::string similar_file(const fs::path& path) {
  std::error_code ignored;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end && names.size() < 1000;
       it.increment(ignored)) {
    const std::string extension = it->path().extension().string();
    if (extension == ".yaml" || extension == ".yml") names.push_back(it->path().filename().string());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto near = nearest(path.filename().string(), views);
  return near ? (path.parent_path() / *near).string() : std::string();
}

// Reads one file after the other; knows which are being read, for cycles.
class FileLoader {
 public:
  explicit FileLoader(Report& report) : report_(report) {}

  // `by`: the entry of `extends` that names the file, or nullptr for the config itself.
  Value file(const fs::path& path, const Value* by) {
    std::error_code ignored;
    const fs::path identity = fs::weakly_canonical(path, ignored);
    if (is_cycle(identity, path, by)) return Value::broken();
    if (++files_ > max_files) {
      fail(Code::limit, format("more than {} files through `extends`", max_files), by);
      return Value::broken();
    }
    const auto text = read(path, by);
    if (!text) return Value::broken();
    open_.push_back({identity, path.string()});
    Value out =
        tree(parse(*text, path.string(), report_, by ? Origin::base : Origin::file), path.parent_path(), path.string());
    open_.pop_back();
    return out;
  }

  // A parsed text with its bases laid under it.
  Value tree(Value own, const fs::path& folder, const std::string& name);

 private:
  struct Open {
    fs::path identity;
    std::string name;
  };

  Diagnostic& fail(Code code, const std::string& message, const Value* by) {
    Diagnostic& d = report_.error(code, message);
    return by ? d.at(*by) : d;
  }

  bool is_cycle(const fs::path& identity, const fs::path& path, const Value* by) {
    const auto first = std::find_if(open_.begin(), open_.end(), [&](const Open& o) { return o.identity == identity; });
    if (first == open_.end()) return false;
    std::string chain;
    for (auto it = first; it != open_.end(); ++it) chain += it->name + " -> ";
    fail(Code::file, format("`{}` extends itself", path.string()), by).line("chain", chain + path.string()).help("take one of them out of `extends`");
    return true;
  }

  std::optional<std::string> read(const fs::path& path, const Value* by);
  std::vector<const Value*> base_names(const Value& own);

  Report& report_;
  std::vector<Open> open_;
  size_t files_ = 0;
};

std::optional<std::string> FileLoader::read(const fs::path& path, const Value* by) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const std::string name = path.string();
  if (!fs::exists(status)) {
    const std::string near = similar_file(path);
    Diagnostic& d = fail(Code::file, format("there is no file `{}`", name), by);
    if (by) d.note("paths in `extends` are relative to the file that they stand in");
    d.help(near.empty() ? "check the path" : format("did you mean `{}`?", near));
    return std::nullopt;
  }
  if (fs::is_directory(status)) {
    fail(Code::file, format("`{}` is a folder, not a file", name), by).help("name a .yaml file in it");
    return std::nullopt;
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(max_bytes + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) {
    fail(Code::file, format("`{}` cannot be read", name), by).help("check its permissions");
    return std::nullopt;
  }
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// The entries of `extends`, a text or a list of texts.
std::vector<const Value*> FileLoader::base_names(const Value& own) {
  const Value* extends = own.find("extends");
  std::vector<const Value*> out;
  if (!extends) return out;
  std::vector<const Value*> entries = {extends};
  if (extends->is_list()) {
    entries.clear();
    for (const Value& item : extends->items()) entries.push_back(&item);
  }
  for (const Value* entry : entries) {
    if (entry->is_string()) {
      out.push_back(entry);
    } else if (!entry->is_broken()) {
      report_.error(Code::wrong_type, "`extends` wants a file or a list of files")
          .at(*entry)
          .label("this is " + entry->kind_text())
          .help("write `extends: [base.yaml]`");
    }
  }
  return out;
}

Value FileLoader::tree(Value own, const fs::path& folder, const std::string& name) {
  if (own.is_broken()) return own;
  if (own.is_null()) {
    report_.error(Code::missing_key, format("`{}` is empty", name))
        .at(own)
        .help("the smallest config has data, model, loss, optimizer and trainer; configs/digits_mlp.yaml is one");
    return Value::broken();
  }
  if (!own.is_map()) {
    const bool no_space = own.is_string() && own.as_string().find(':') != std::string::npos;
    report_.error(Code::wrong_type, "a config is a map of keys and values")
        .at(own)
        .label("this is " + own.kind_text())
        .help(no_space ? "put a space behind the colon: `key: value`" : "write lines such as `seed: 42`");
    return Value::broken();
  }
  Value base = Value::map();
  bool broken = false;
  for (const Value* entry : base_names(own)) {
    Value part = file((folder / entry->as_string()).lexically_normal(), entry);
    broken = broken || part.is_broken();
    if (!broken) base = merge(std::move(base), std::move(part), report_);
  }
  if (broken) return Value::broken();
  own.erase("extends");
  return merge(std::move(base), std::move(own), report_);
}

Value finish(Value root, std::span<const std::string> overrides, Report& report, const LoadOptions& options) {
  if (root.is_broken()) return root;
  int number = 0;
  for (const std::string& argument : overrides) apply_override(root, argument, ++number, report, options);
  return resolve_variables(std::move(root), report, options);
}

// `{Name: ...}` with a capital letter: a kind, which another kind replaces instead of joining it.
const Value* only_kind(const Value& value) {
  const Value* only = value.only();
  return only && !only->key().empty() && only->key()[0] >= 'A' && only->key()[0] <= 'Z' ? only : nullptr;
}

bool is_other_kind(const Value& base, const Value& later) {
  const Value* a = only_kind(base);
  const Value* b = only_kind(later);
  return a && b && a->key() != b->key();
}

bool is_removal(const Value& item) { return item.key().size() > 1 && item.key()[0] == '~'; }

void remove_key(Value& base, const Value& marker, Report& report) {
  const std::string name = marker.key().substr(1);
  if (!marker.is_null()) {
    report.error(Code::unsupported, format("`~{}` removes a key and takes no value", name))
        .at(marker)
        .help(format("write `~{}:` alone, or `{}: ...` to set it", name, name));
    return;
  }
  if (base.erase(name)) return;
  const auto known = base.keys();
  report.error(Code::override_path, format("there is no key `{}` to remove", name))
      .key(marker)
      .label(suggest_key(name, known).label)
      .help("`~key:` removes what a file named in `extends` has set");
}

}  // namespace

Value merge(Value base, Value later, Report& report) {
  if (!later.is_map()) return later;
  if (!base.is_map() || is_other_kind(base, later)) base = Value::map();
  base.set_span(later.span(), later.is_plain());
  base.mark_flow(later.is_flow());
  base.set_key(later.key(), later.key_span());
  base.set_note(later.note());
  base.set_path(later.path());
  for (const Value& item : later.items()) {
    if (is_removal(item)) remove_key(base, item, report);
  }
  const bool fresh = base.empty();  // no look-up needed: a large map stays linear
  for (Value& item : later.items()) {
    if (is_removal(item)) continue;
    const Value* old = fresh ? nullptr : base.find(item.key());
    Value merged = item.is_map() ? merge(old ? *old : Value::map(), std::move(item), report) : std::move(item);
    const std::string key = merged.key();
    if (fresh) {
      base.items().push_back(std::move(merged));
    } else {
      base.set(key, std::move(merged));
    }
  }
  return base;
}

Value load(const fs::path& file, std::span<const std::string> overrides, Report& report, const LoadOptions& options) {
  return finish(FileLoader(report).file(file, nullptr), overrides, report, options);
}

Value load_text(std::string text, const std::string& name, std::span<const std::string> overrides, Report& report,
                const LoadOptions& options) {
  Value own = parse(std::move(text), name, report);
  return finish(FileLoader(report).tree(std::move(own), {}, name), overrides, report, options);
}

}  // namespace rstorch::config
