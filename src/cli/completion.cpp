#include "cli/command.h"

namespace rstorch::cli {
namespace {

std::vector<std::string> words_of(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words.push_back(command->get_name());
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

// One case for each command: what may follow it. Files are completed too, since most commands take one.
std::string cases(const CLI::App& program) {
  std::string out;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    out += format("    {}) words=\"{}\" ;;\n", command->get_name(), join(words_of(*command), " "));
  }
  return out;
}

std::string bash(const CLI::App& program) {
  return "# rstorch: completion for bash. In ~/.bashrc: eval \"$(rstorch completion bash)\"\n"
         "_rstorch() {\n"
         "  local word=\"${COMP_WORDS[COMP_CWORD]}\" words\n"
         "  case \"${COMP_WORDS[1]}\" in\n" +
         cases(program) +
         "  esac\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"" +
         join(words_of(program), " ") +
         "\"; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "  [ \"$COMP_CWORD\" -gt 1 ] && COMPREPLY+=($(compgen -f -- \"$word\"))\n"
         "}\n"
         "complete -o filenames -F _rstorch rstorch\n";
}

std::string zsh(const CLI::App& program) {
  return "# rstorch: completion for zsh. In ~/.zshrc: eval \"$(rstorch completion zsh)\"\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash(program);
}

}  // namespace

void add_completion(CLI::App& program, Action& action) {
  CLI::App& command =
      add_command(program, "completion", "Print completion for a shell.", "eval \"$(rstorch completion bash)\"");
  auto shell = std::make_shared<std::string>();
  command.add_option("shell", *shell, "bash or zsh.")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}).description(""));
  command.callback([&action, &program, shell] {
    action = [&program, shell] {
      print(*shell == "zsh" ? zsh(program) : bash(program));
      return ExitCode::success;
    };
  });
}

}  // namespace rstorch::cli
