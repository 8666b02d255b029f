#include "cli/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "cli/mpirun.h"
#include "train/files.h"

namespace rstorch::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kImpatience = 10s;   // a SIGINT after another one means: now
constexpr auto kGrace = 30s;        // SIGTERM this long after another one, too
constexpr auto kTimeToEnd = 3s;     // mpirun needs about one to end its ranks and clear up
constexpr auto kTimeToFollow = 5s;  // the ranks of other machines, and mpirun, once all of this one have ended
constexpr auto kTimeOfLast = 30s;   // for the last rank of this machine to end after the first

struct Process {
  pid_t parent = 0;
  pid_t session = 0;  // 0: it is gone
};

Process process_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');  // names may have spaces and brackets
  char state = 0;
  int parent = 0, group = 0, session = 0;
  if (name_end == text.npos) return {};
  if (std::sscanf(text.c_str() + name_end + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4) return {};
  return state == 'Z' ? Process() : Process{parent, session};
}

// Living processes of a session, but for the one that leads it.
std::vector<pid_t> members_of_session(pid_t leader) {
  std::vector<pid_t> members;
  for (const std::string& name : files::names_in("/proc")) {
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const pid_t process = std::atoi(name.c_str());
    if (process != leader && process_of(name).session == leader) members.push_back(process);
  }
  return members;
}

// The ranks that mpirun itself started, those of this machine.
size_t ranks_of(pid_t mpirun) {
  size_t count = 0;
  for (const pid_t process : members_of_session(mpirun)) {
    const std::string name = std::to_string(process);
    if (process_of(name).parent != mpirun) continue;
    std::ifstream environment("/proc/" + name + "/environ", std::ios::binary);
    for (std::string variable; std::getline(environment, variable, '\0');) {
      if (!variable.starts_with("OMPI_COMM_WORLD_RANK=")) continue;
      ++count;
      break;
    }
  }
  return count;
}

// For as long as it takes a process to go that was in the middle of something.
void kill_session(pid_t leader) {
  for (int i = 0; i < 100; ++i) {
    const std::vector<pid_t> left = members_of_session(leader);
    if (left.empty()) return;
    for (const pid_t process : left) ::kill(process, SIGKILL);
    ::usleep(50'000);
  }
}

[[noreturn]] void become(const std::vector<std::string>& words, pid_t parent, const sigset_t& signals,
                         const Relay& relay) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // which mpirun passes on to its ranks, and clears up
  if (::getppid() != parent) ::_exit(1);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing > 0) ::dup2(nothing, STDIN_FILENO);
  relay.redirect();
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

// A process that outlives this one where that is killed: mpirun then gets SIGTERM, but was seen to hang in its handler.
class Heir {
 public:
  explicit Heir(pid_t job) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const Descriptor read_end(ends[0]);
    write_end_ = Descriptor(ends[1]);
    process_ = ::fork();
    if (process_ != 0) return;
    write_end_ = Descriptor();
    wait_and_inherit(job, read_end);
  }
  ~Heir() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Heir(const Heir&) = delete;
  Heir& operator=(const Heir&) = delete;

 private:
  [[noreturn]] static void wait_and_inherit(pid_t job, const Descriptor& read_end) {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::setsid();  // a terminal's signals are for the launcher
    const int nothing = ::open("/dev/null", O_RDWR);
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) ::dup2(nothing, stream);
    char none = 0;
    while (::read(read_end.number(), &none, 1) < 0 && errno == EINTR) {
    }
    const auto lives = [&] { return process_of(std::to_string(job)).session == job; };
    const auto end = std::chrono::steady_clock::now() + kTimeToFollow;
    while (lives() && std::chrono::steady_clock::now() < end) ::usleep(50'000);
    if (lives()) ::kill(job, SIGKILL);
    kill_session(job);
    ::_exit(0);
  }

  Descriptor write_end_;  // closed when this process ends, however it does
  pid_t process_ = -1;
};

}  // namespace

Supervisor::Supervisor() {
  sigemptyset(&awaited_);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&awaited_, signal);
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&awaited_, SIGHUP);
  std::signal(SIGCHLD, SIG_DFL);  // ignored, children would leave no exit code
  std::signal(SIGPIPE, SIG_IGN);  // for the job too: it is to end in good order when this process is gone
  ::sigprocmask(SIG_BLOCK, &awaited_, &previous_);
  signals_ = Descriptor(::signalfd(-1, &awaited_, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.is_open()) throw DistError(format("cannot wait for signals: {}", std::strerror(errno)));
}

Supervisor::~Supervisor() { ::sigprocmask(SIG_SETMASK, &previous_, nullptr); }

Ending Supervisor::run(const std::vector<std::string>& words) {
  const Clock::time_point begin = Clock::now();
  asked_ = had_to_be_killed_ = false;
  most_ranks_ = 0;
  fewer_since_ = alone_since_ = std::nullopt;
  const pid_t self = ::getpid();
  relay_.emplace();
  const pid_t job = ::fork();
  if (job < 0) throw DistError(format("cannot start {}: {}", words[0], std::strerror(errno)));
  if (job == 0) become(words, self, previous_, *relay_);
  relay_->close_jobs_side();
  const Heir heir(job);
  // Until the session is cleared the job stays a zombie, so that its number cannot become another's.
  siginfo_t ended{};
  while (::waitid(P_PID, id_t(job), &ended, WEXITED | WNOWAIT | WNOHANG) == 0 && ended.si_pid == 0) {
    wait_for_signal(stop_reason_.empty() ? 1000ms : 50ms);
    tend(job);
  }
  kill_session(job);
  relay_->pass_on();
  while (!relay_->all_passed_on() && kill_reason_.empty()) wait_for_signal(50ms);
  if (output_error_ == 0) output_error_ = relay_->stdout_error();
  relay_.reset();
  int status = 0;
  ::waitpid(job, &status, 0);
  const std::chrono::duration<double> time = Clock::now() - begin;
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), time.count(), had_to_be_killed_};
}

void Supervisor::pause(std::chrono::seconds time) {
  const Clock::time_point end = Clock::now() + time;
  while (stop_reason_.empty() && Clock::now() < end) wait_for_signal(100ms);
}

void Supervisor::wait_for_signal(std::chrono::milliseconds at_most) {
  const Clock::time_point end = Clock::now() + at_most;
  signalfd_siginfo signal{};
  while (::read(signals_.number(), &signal, sizeof signal) != sizeof signal) {
    if (relay_) relay_->pass_on();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left <= 0ms) return;
    std::vector<pollfd> all = {{signals_.number(), POLLIN, 0}};
    if (relay_) relay_->add_to(all);
    ::poll(all.data(), all.size(), int(left.count()));
  }
  if (signal.ssi_signo != SIGCHLD) on_stop_signal(int(signal.ssi_signo));
}

void Supervisor::on_stop_signal(int signal) {
  const Clock::time_point now = Clock::now();
  const std::string name = format("SIG{}", ::sigabbrev_np(signal));
  const bool impatient = signal == SIGINT && last_interrupt_ && now - *last_interrupt_ < kImpatience;
  const bool overdue = signal == SIGTERM && first_terminate_ && now - *first_terminate_ >= kGrace;
  if (signal == SIGINT) last_interrupt_ = now;
  if (signal == SIGTERM && !first_terminate_) first_terminate_ = now;
  if ((impatient || overdue) && kill_reason_.empty()) kill_reason_ = "a second " + name;
  if (!stop_reason_.empty()) return;
  stop_reason_ = name;
  logging::info(format("{}: the ranks save and end{}", name, signal == SIGINT ? "; once more kills them" : ""));
}

// What is asked of the job is done as soon as it can be.
void Supervisor::tend(pid_t job) {
  // mpirun loses what it gets before it has children to pass it on to.
  if (!stop_reason_.empty() && !asked_ && !members_of_session(job).empty()) {
    note_signal(stop_reason_);
    ::kill(job, SIGUSR1);
    asked_ = true;
  }
  // mpirun waits for ever for a machine that its network lost, and does not listen to SIGTERM meanwhile.
  // Nor does it always end the others when one rank has ended: they wait for that one in MPI.
  const size_t ranks = ranks_of(job);
  most_ranks_ = std::max(most_ranks_, ranks);
  const auto follow = [](std::optional<Clock::time_point>& since, bool is_so) {
    if (!is_so) since.reset();
    if (is_so && !since) since = Clock::now();
  };
  follow(fewer_since_, ranks < most_ranks_);
  follow(alone_since_, ranks == 0 && most_ranks_ > 0);
  const bool overdue = (alone_since_ && Clock::now() - *alone_since_ >= kTimeToFollow) ||
                       (fewer_since_ && Clock::now() - *fewer_since_ >= kTimeOfLast);
  if (overdue) {
    had_to_be_killed_ = true;
    ::kill(-job, SIGKILL);
  }
  if (kill_reason_.empty()) return;
  if (!kill_hard_at_) {
    ::kill(job, SIGTERM);
    kill_hard_at_ = Clock::now() + kTimeToEnd;
  }
  if (Clock::now() >= *kill_hard_at_) ::kill(-job, SIGKILL);
}

}  // namespace rstorch::cli
