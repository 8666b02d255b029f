#include "cli/command.h"

namespace rstorch::cli {
namespace {

std::string words_of(const Command& command) {
  std::vector<std::string> words;
  for (const Command& inner : command.commands()) words.push_back(inner.name());
  for (const std::string& option : command.option_names()) words.push_back(option);
  return join(words, " ");
}

// One case for each command: what may follow it. Files are completed too, since most commands take one.
std::string cases(const Command& program) {
  std::string out;
  for (const Command& command : program.commands()) {
    out += format("    {}) words=\"{}\" ;;\n", command.name(), words_of(command));
  }
  return out;
}

std::string bash(const Command& program) {
  return "# rstorch: completion for bash. In ~/.bashrc: eval \"$(rstorch completion bash)\"\n"
         "_rstorch() {\n"
         "  local word=\"${COMP_WORDS[COMP_CWORD]}\" words\n"
         "  case \"${COMP_WORDS[1]}\" in\n" +
         cases(program) +
         "  esac\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"" +
         words_of(program) +
         "\"; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "  [ \"$COMP_CWORD\" -gt 1 ] && COMPREPLY+=($(compgen -f -- \"$word\"))\n"
         "}\n"
         "complete -o filenames -F _rstorch rstorch\n";
}

std::string zsh(const Command& program) {
  return "# rstorch: completion for zsh. In ~/.zshrc: eval \"$(rstorch completion zsh)\"\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash(program);
}

}  // namespace

void add_completion(Command program, Action& action) {
  const Command command =
      program.add_command("completion", "Print completion for a shell.", "eval \"$(rstorch completion bash)\"");
  auto shell = std::make_shared<std::string>();
  command.add("shell", *shell, "bash or zsh.").required().one_of({"bash", "zsh"});
  command.when_chosen([&action, program, shell] {
    action = [program, shell] {
      print(*shell == "zsh" ? zsh(program) : bash(program));
      return ExitCode::success;
    };
  });
}

}  // namespace rstorch::cli
