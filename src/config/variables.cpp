#include "config/variables.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "config/suggest.h"

namespace rstorch::config {
namespace {

// A text cut at its `${...}`: plain pieces and references.
struct Piece {
  bool reference = false;
  std::string text;   // of a reference: what stands between the braces
  size_t offset = 0;  // in the text
};

// nothing: a `${` is never closed.
std::optional<std::vector<Piece>> split(const std::string& text) {
  std::vector<Piece> out;
  size_t begin = 0;  // of the plain piece
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at)) {
    if (at > 0 && text[at - 1] == '$') {  // `$${`: escaped
      at += 2;
      continue;
    }
    const size_t end = text.find('}', at);
    if (end == std::string::npos) return std::nullopt;
    if (at > begin) out.push_back({false, text.substr(begin, at - begin), begin});
    out.push_back({true, text.substr(at + 2, end - at - 2), at});
    begin = at = end + 1;
  }
  if (begin < text.size()) out.push_back({false, text.substr(begin), begin});
  return out;
}

std::string unescaped(std::string text) {
  for (size_t at = text.find("$${"); at != std::string::npos; at = text.find("$${", at + 2)) text.erase(at, 1);
  return text;
}

// Where `${name}` stands in the file: inside the text's span if it is there as written, else the whole of it.
Span reference_span(const Value& value, const std::string& name) {
  const Span& span = value.span();
  const size_t at = span.text().find("${" + name + "}");
  if (at == std::string_view::npos) return span;
  return {span.source, static_cast<uint32_t>(span.begin + at), static_cast<uint32_t>(name.size() + 3)};
}

// What a name stands for. `found`: a value; `keep`: not ours, leave the text; `failed`: reported.
struct Lookup {
  enum class Result { found, keep, failed };
  Result result = Result::failed;
  Value value;
  std::string where;  // "set at a.yaml:3:7", "from the environment"
};

class Names {
 public:
  virtual ~Names() = default;
  // `user`: the text that holds the reference, for the error.
  virtual Lookup find(const std::string& name, const Value& user, bool deferred) = 0;
};

// Walks a tree and replaces; counts what it makes, so that doubling references end early.
class Substituter {
 public:
  Substituter(Names& names, Report& report, std::vector<std::string> deferred, bool unescape)
      : names_(names), report_(report), deferred_(std::move(deferred)), unescape_(unescape) {}

  Value tree(Value value, bool deferred = false) {
    deferred = deferred || std::find(deferred_.begin(), deferred_.end(), value.path()) != deferred_.end();
    if (value.is_string()) return text(value, deferred);
    for (Value& item : value.items()) item = tree(std::move(item), deferred);
    return value;
  }

 private:
  Value text(const Value& value, bool deferred);
  Value whole(const Value& value, const Piece& piece, bool deferred);
  Value mixed(const Value& value, const std::vector<Piece>& pieces, bool deferred);
  bool within_budget(size_t size, const Value& value);

  // The replacement stands where the reference stood.
  static Value placed(Value value, const Value& user) {
    value.set_key(user.key(), user.key_span());
    value.set_span(user.span(), value.is_plain());
    value.set_path(user.path());
    return value;
  }

  Names& names_;
  Report& report_;
  std::vector<std::string> deferred_;
  bool unescape_;
  size_t made_ = 0;
};

size_t weight(const Value& value) {
  size_t out = 1 + (value.is_string() ? value.as_string().size() / 16 : 0);
  for (const Value& item : value.items()) out += weight(item);
  return out;
}

bool Substituter::within_budget(size_t size, const Value& value) {
  if (made_ <= max_values && (made_ += size) > max_values) {
    report_.error(Code::limit, "the values of `${...}` grow too large")
        .at(value)
        .help("a reference that doubles another, again and again, fills any memory");
  }
  return made_ <= max_values;
}

Value Substituter::text(const Value& value, bool deferred) {
  const std::string& text = value.as_string();
  if (text.find("${") == std::string::npos) return value;
  const auto pieces = split(text);
  if (!pieces) {
    report_.error(Code::syntax, "a `${` is never closed")
        .at(value)
        .help("write `${name}`; for a literal `${` write `$${`");
    return placed(Value::broken(), value);
  }
  if (pieces->size() == 1 && pieces->front().reference) return whole(value, pieces->front(), deferred);
  return mixed(value, *pieces, deferred);
}

Value Substituter::whole(const Value& value, const Piece& piece, bool deferred) {
  Lookup found = names_.find(piece.text, value, deferred);
  if (found.result == Lookup::Result::keep) return value;
  if (found.result == Lookup::Result::failed) return placed(Value::broken(), value);
  if (!within_budget(weight(found.value), value)) return placed(Value::broken(), value);
  Value out = placed(std::move(found.value), value);
  out.set_note(format("`${{{}}}` is {}", piece.text, found.where));
  return out;
}

Value Substituter::mixed(const Value& value, const std::vector<Piece>& pieces, bool deferred) {
  std::string out;
  bool kept = false, failed = false;
  for (const Piece& piece : pieces) {
    if (!piece.reference) {
      out += piece.text;
      continue;
    }
    const Lookup found = names_.find(piece.text, value, deferred);
    if (found.result == Lookup::Result::keep) {
      out += "${" + piece.text + "}";
      kept = true;
    } else if (found.result == Lookup::Result::failed) {
      failed = true;
    } else if (found.value.is_scalar()) {
      out += found.value.is_null() ? "" : found.value.text(max_bytes);
    } else {
      report_
          .error(Code::wrong_type,
                 format("`${{{}}}` is {} and cannot be part of a text", piece.text, found.value.kind_text()))
          .at(reference_span(value, piece.text))
          .note(format("it is {}", found.where))
          .help(format("let the whole value be the reference: \"${{{}}}\"", piece.text));
      failed = true;
    }
    if (!within_budget(1 + out.size() / 16, value)) return placed(Value::broken(), value);
  }
  if (failed) return placed(Value::broken(), value);
  Value text(unescape_ && !deferred && !kept ? unescaped(out) : out);
  return placed(std::move(text), value);
}

// --- the parameters of a block ---

class MapNames final : public Names {
 public:
  MapNames(const Value& names, Report& report) : names_(names), report_(report) {}

  Lookup find(const std::string& name, const Value& user, bool) override {
    if (name.starts_with("vars.") || name.starts_with("env:")) return {Lookup::Result::keep, {}, {}};
    if (const Value* value = names_.find(name)) {
      if (value->is_broken()) return {};
      return {Lookup::Result::found, *value,
              value->span().known() ? "set at " + value->span().where() : "left at its default"};
    }
    const auto known = names_.keys();
    Diagnostic& d = report_.error(Code::reference, format("there is no parameter `{}`", name));
    d.at(reference_span(user, name)).label(suggest_key(name, known).label);
    d.help(known.empty() ? "this block has no `params`" : format("the parameters here are: {}", join(known, ", ")));
    return {};
  }

 private:
  const Value& names_;
  Report& report_;
};

// --- vars and the environment ---

class FileNames final : public Names {
 public:
  FileNames(const Value& vars, Report& report, const LoadOptions& options)
      : vars_(vars), report_(report), options_(options) {}

  Lookup find(const std::string& name, const Value& user, bool deferred) override {
    if (name.starts_with("vars.")) return variable(name, user);
    if (name.starts_with("env:")) return environment(name, user);
    if (deferred) return {Lookup::Result::keep, {}, {}};
    Diagnostic& d = report_.error(Code::reference, format("unknown reference `${{{}}}`", name));
    d.at(reference_span(user, name));
    if (vars_.has(name)) {
      d.label(format("did you mean `${{vars.{}}}`?", name));
    } else {
      d.help(
          "write `${vars.NAME}` for a variable, `${env:NAME,default}` for the environment,\n"
          "`$${` for a literal `${`; bare names are the parameters of a block");
    }
    return {};
  }

 private:
  Lookup variable(const std::string& name, const Value& user);
  Lookup environment(const std::string& name, const Value& user);
  void unknown_variable(const std::string& name, const Value& in, std::string_view step, const Value& user);

  const Value& vars_;
  Report& report_;
  const LoadOptions& options_;
  std::vector<std::string> open_;  // being resolved: a cycle comes back to one of these
  std::map<std::string, Value> done_;
};

void FileNames::unknown_variable(const std::string& name, const Value& in, std::string_view step, const Value& user) {
  const auto known = in.keys();
  Diagnostic& d = report_.error(Code::reference, format("there is no `{}`", name));
  d.at(reference_span(user, name)).label(suggest_key(step, known).label);
  d.help(known.empty() ? format("add it: `vars: {{{}: ...}}`", step) : format("`vars` has: {}", join(known, ", ")));
}

Lookup FileNames::variable(const std::string& name, const Value& user) {
  const Value* value = &vars_;
  for (size_t begin = 5; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view step = std::string_view(name).substr(begin, end - begin);
    const Value* next = value->find(step);
    if (!next) {
      unknown_variable(name, *value, step, user);
      return {};
    }
    value = next;
    begin = end + 1;
  }
  const std::string where = "set at " + value->span().where();
  if (const auto it = done_.find(name); it != done_.end()) {
    if (it->second.is_broken()) return {};
    return {Lookup::Result::found, it->second, where};
  }
  if (const auto it = std::find(open_.begin(), open_.end(), name); it != open_.end()) {
    report_.error(Code::reference, format("`{}` refers to itself", name))
        .at(reference_span(user, name))
        .line("chain", format("{} -> {}", join(it, open_.end(), " -> "), name))
        .help("give one of them a value of its own");
    return {};
  }
  open_.push_back(name);
  Value resolved = Substituter(*this, report_, {}, true).tree(*value);
  open_.pop_back();
  done_[name] = resolved;
  if (resolved.is_broken()) return {};
  return {Lookup::Result::found, std::move(resolved), where};
}

Lookup FileNames::environment(const std::string& name, const Value& user) {
  const size_t comma = name.find(',');
  const std::string variable = name.substr(4, comma == std::string::npos ? std::string::npos : comma - 4);
  const Span where = reference_span(user, name);
  const auto from_environment = [](const std::string& key) -> std::optional<std::string> {
    const char* text = std::getenv(key.c_str());
    return text ? std::optional<std::string>(text) : std::nullopt;
  };
  auto text = options_.environment ? options_.environment(variable) : from_environment(variable);
  if (text && text->empty() && comma != std::string::npos) text.reset();  // as a shell's ${NAME:-default}
  if (!text && comma == std::string::npos) {
    report_.error(Code::reference, format("the environment variable `{}` is not set", variable))
        .at(where)
        .help(format("set it, or give a default: `${{env:{},default}}`", variable));
    return {};
  }
  Value value = resolve_plain(text ? *text : name.substr(comma + 1), where, report_);
  if (value.is_broken()) return {};
  return {Lookup::Result::found, std::move(value), text ? "from the environment" : "not set; this is its default"};
}

}  // namespace

Value substitute(Value tree, const Value& names, Report& report) {
  MapNames source(names, report);
  return Substituter(source, report, {}, true).tree(std::move(tree));
}

Value resolve_variables(Value root, Report& report, const LoadOptions& options) {
  Value vars = Value::map();
  if (const Value* given = root.find("vars"); given && !given->is_null()) {
    if (given->is_map()) {
      vars = *given;
    } else if (!given->is_broken()) {
      report.error(Code::wrong_type, "`vars` wants a map of names and values")
          .at(*given)
          .label("this is " + given->kind_text())
          .help("write `vars: {width: 64}`");
    }
  }
  FileNames names(vars, report, options);
  // First `vars` itself, so that an error in an unused variable is found.
  for (const Value& item : vars.items()) names.find("vars." + item.key(), item, false);
  root.erase("vars");
  return Substituter(names, report, options.deferred, true).tree(std::move(root));
}

}  // namespace rstorch::config
