// Checkpoints, the files under them and the folders around them.
#include "train/checkpoint.h"

#include <cstring>

#include <doctest/doctest.h>
#include <sys/wait.h>

#include "base/log.h"
#include "config/dump.h"
#include "fault_injection.h"
#include "fixture.h"
#include "temporary_folder.h"
#include "train/metrics_log.h"
#include "train/run_directory.h"
#include "train/training_state.h"

using namespace rstorch;
namespace fs = std::filesystem;
using faults::Kind;

namespace {

struct Quiet {
  Quiet() { logging::set_stderr(false); }
  ~Quiet() { logging::set_stderr(true); }
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "";
}

CheckpointContents contents(int64_t step) {
  TrainingState state;
  state.step = step;
  const Tensor weight = Tensor::from(std::vector<float>{float(step), 2, 3, 4}, {2, 2});
  return {{{"fc.weight", weight}, {"bn.num_batches_tracked", Tensor::scalar(step, {.dtype = DType::i64})}},
          {{"fc.weight/exp_avg", Tensor::from({0.5, 0.25})}},
          config::write(state),
          "rstorch: 1\n"};
}

int64_t step_in(const fs::path& path) {
  const Checkpoint checkpoint(path);
  const int64_t step = read_training_state(checkpoint).step;
  CHECK(checkpoint.model().tensor("fc.weight").to_vector<float>()[0] == float(step));
  return step;
}

// `text == Contains(part)`; shows the text where it does not hold.
struct Contains {
  std::string part;
  friend bool operator==(const std::string& text, const Contains& wanted) {
    const bool holds = text.find(wanted.part) != std::string::npos;
    if (!holds) MESSAGE(format("\"{}\" does not contain \"{}\"", text, wanted.part));
    return holds;
  }
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

void flip_byte(const fs::path& file, int64_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const char byte = char(stream.get() ^ 1);
  stream.seekp(at);
  stream.put(byte);
}

std::string file_bytes(std::string header, const std::string& buffer) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + buffer;
}

}  // namespace

TEST_SUITE("safetensors") {
  TEST_CASE("what is written is read: every dtype, scalars, nothing, views") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "a.safetensors";
    const Tensor matrix = Tensor::arange(6).to(DType::f32).reshape({2, 3});
    std::vector<NamedTensor> tensors = {{"u8", Tensor::from(std::vector<uint8_t>{1, 2, 3}, {3})},
                                        {"scalar", Tensor::scalar(7, {.dtype = DType::i64})},
                                        {"empty", Tensor::zeros({0, 4})},
                                        {"transposed", matrix.t()},
                                        {"quote \" and \\", Tensor::from({1.0, -0.0})}};
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::i32, DType::u8}) {
      tensors.push_back({std::string(name_of(dtype)) + " matrix", matrix.to(dtype)});
    }
    files::Writer writer(path);
    size_t written = 0;
    write_safetensors(
        [&](std::span<const std::byte> bytes) {
          written += bytes.size();
          writer.write(bytes);
        },
        tensors, {{"format", "pt"}});
    writer.finish();
    CHECK(written == safetensors_bytes(tensors, {{"format", "pt"}}));

    const SafetensorsFile file(path);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.entries().size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
      CAPTURE(name);
      CHECK(testing::bit_equal(file.tensor(name), tensor.contiguous()));
      CHECK(reinterpret_cast<uintptr_t>(file.tensor(name).raw_data()) % size_of(tensor.dtype()) == 0);
    }
    CHECK(message_of([&] { file.tensor("none"); }) == format("{}: there is no tensor none", path.string()));
  }

  TEST_CASE("files that PyTorch's safetensors wrote") {
    for (const std::string name : {"linear", "optim", "norm"}) {
      const testing::Fixture fixture(name);
      const SafetensorsFile file(testing::source_path("tests/fixtures/" + name + ".safetensors"));
      CHECK(!file.entries().empty());
      for (const auto& entry : file.entries())
        CHECK(testing::bit_equal(file.tensor(entry), fixture.tensor(entry.name)));
    }
  }

  TEST_CASE("a read tensor lives on without its file, and writing to it leaves the file alone") {
    const TemporaryFolder folder;
    const std::string path = folder.write(
        "a.safetensors", file_bytes(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "\x01\x02"));
    Tensor x;
    {
      const SafetensorsFile file(path);
      x = file.tensor("x");
    }
    x.data<uint8_t>()[0] = 9;
    CHECK(SafetensorsFile(path).tensor("x").data<uint8_t>()[0] == 1);
    fs::remove(path);
    CHECK(x.data<uint8_t>()[1] == 2);
  }

  TEST_CASE("every rule of the format is held up") {
    const std::string entry = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    const std::string eight(8, '\0');
    struct Case {
      std::string bytes;
      const char* message;
    };
    const Case cases[] = {
        {"", "0 bytes"},
        {std::string("\x05\0\0", 3), "3 bytes"},
        {std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8), "at most 100000000"},
        {file_bytes(entry, eight).substr(0, 20), "the file only 20"},
        {file_bytes("[1]", ""), "not an object"},
        {file_bytes("{", ""), "not valid JSON"},
        {file_bytes(R"({"x":1})", ""), "the entry x is not an object"},
        {file_bytes(entry, eight.substr(1)), "its tensors take 8 bytes, the file has 7"},
        {file_bytes(entry, eight + "0"), "its tensors take 8 bytes, the file has 9"},
        {file_bytes(R"({"x":{"dtype":"F9","shape":[2],"data_offsets":[0,8]}})", eight), "dtype F9"},
        {file_bytes(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", eight), "no dtype"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight), "f32 [3] needs 12"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", eight), "list of counts"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", eight), "[begin, end]"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", eight + "0000"), "begins at byte 4"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""), "overflows"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "0000"),
         "at most 8 are supported"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"z":1}})", eight), "unknown key z"},
        {file_bytes(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                    R"("y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                    eight),
         "the entry y begins at byte 4, the one before it ends at 8"},
        {file_bytes(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}})", ""), "x is there twice"},
        {file_bytes(R"({"__metadata__":{"a":1}})", ""), "not text"},
        {file_bytes(std::string(100, '[') + std::string(100, ']'), ""), "64 levels"},
    };
    const TemporaryFolder folder;
    for (const Case& c : cases) {
      CAPTURE(c.message);
      const std::string path = folder.write("bad.safetensors", c.bytes);
      const std::string message = message_of([&] { const SafetensorsFile file(path); });
      CHECK(message == Contains(path));
      CHECK(message == Contains(c.message));
    }
    CHECK(message_of([&] { const SafetensorsFile file(folder.path()); }) == Contains("not a regular file"));
    CHECK(message_of([] { const SafetensorsFile file("/none/x"); }) ==
          "cannot open /none/x: No such file or directory");
  }
}

TEST_SUITE("checkpoint") {
  TEST_CASE("save, links, prune") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path() / "checkpoints");
    for (const int64_t step : {10, 20, 30, 40}) {
      store.save(step, contents(step));
      if (step == 20) store.mark_best(20);
      store.prune(2, step);
    }
    CHECK(names_in(store.folder()) ==
          std::vector<std::string>{"best", "last", "step-00000020", "step-00000030", "step-00000040"});
    CHECK(step_in(store.folder() / "last") == 40);
    CHECK(step_in(store.folder() / "best") == 20);
    CHECK(step_in(store.folder()) == 40);  // a folder of checkpoints means its last one
    CHECK(step_in(folder.path()) == 40);   // and so does a run
    const Checkpoint checkpoint(store.folder() / "last");
    CHECK(checkpoint.folder().filename() == "step-00000040");
    CHECK(checkpoint.config_text() == "rstorch: 1\n");
    CHECK(checkpoint.trainer().tensor("fc.weight/exp_avg").to_vector<double>() == std::vector<double>{0.5, 0.25});
  }

  TEST_CASE("prune looks at no step beyond the run's own, and keeps what a link points at") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    for (const int64_t step : {900, 901, 902, 10, 20, 30}) store.save(step, contents(step));
    store.prune(1, 30);
    CHECK(checkpoint_steps(folder.path()) == std::vector<int64_t>{30, 900, 901, 902});
    CHECK(step_in(folder.path() / "last") == 30);
    store.save(40, contents(40));
    files::move_link(folder.path() / "last", "step-00000030");
    store.prune(1, 40);
    CHECK(checkpoint_steps(folder.path()) == std::vector<int64_t>{30, 40, 900, 901, 902});
  }

  TEST_CASE("a run that goes on from a step sets later ones aside, and its links follow") {
    const Quiet quiet;
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    for (const int64_t step : {10, 20, 30}) store.save(step, contents(step));
    store.mark_best(30);
    store.go_on_from(20, 10);
    CHECK(names_in(folder.path()) ==
          std::vector<std::string>{".bad-step-00000030", "best", "last", "step-00000010", "step-00000020"});
    CHECK(step_in(folder.path() / "last") == 20);
    CHECK(step_in(folder.path() / "best") == 10);
    store.save(30, contents(30));
    store.mark_best(30);
    store.go_on_from(20, 15);  // a best one that is gone
    CHECK(names_in(folder.path()) ==
          std::vector<std::string>{".bad-step-00000030", "last", "step-00000010", "step-00000020"});
  }

  TEST_CASE("the best step that is there stays the best when a better one could not be saved") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    for (const int64_t step : {10, 20, 30}) store.save(step, contents(step));
    store.mark_best(10);
    store.go_on_from(30, 25);
    store.prune(1, 30);
    CHECK(step_in(folder.path() / "best") == 10);
  }

  TEST_CASE("a changed, shortened or missing file is named") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    for (const std::string file : {"model.safetensors", "trainer.safetensors", "state.json", "config.yaml"}) {
      CAPTURE(file);
      store.save(1, contents(1));
      const fs::path path = store.path_of(1) / file;
      flip_byte(path, 3);
      CHECK(message_of([&] { const Checkpoint c(store.path_of(1)); }) ==
            Contains(path.string() + " is damaged: its hash is"));
      fs::resize_file(path, 2);
      CHECK(message_of([&] { const Checkpoint c(store.path_of(1)); }) ==
            Contains(path.string() + " is damaged: it has 2 bytes, the manifest says"));
      fs::remove(path);
      CHECK(message_of([&] { const Checkpoint c(store.path_of(1)); }) == Contains(path.string() + " is missing"));
    }
    CHECK(message_of([] { const Checkpoint c("/none"); }) == "there is no checkpoint /none");
  }

  TEST_CASE("manifests of another version, or that are none") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    store.save(1, contents(1));
    const auto with_manifest = [&](std::string_view text) {
      std::ofstream(store.path_of(1) / "manifest.json") << text;
      return message_of([&] { const Checkpoint c(store.path_of(1)); });
    };
    CHECK(with_manifest(R"({"version": 2, "rstorch": "9.0.0", "files": {}})") ==
          Contains("format version 2, this rstorch reads version 1"));
    CHECK(with_manifest(R"({"version": "1"})") == Contains("is damaged"));
    CHECK(with_manifest(R"({"version": 1, "rstorch": "0.1", "files": {}})") == Contains("manifest.json is damaged"));
    CHECK(with_manifest(R"({"version": 1, "rstorch": "0.1", "files": {"../step-00000002/state.json": {}}})") ==
          Contains("model.safetensors, trainer.safetensors, state.json, config.yaml"));
    const std::string garbage = with_manifest("{\n \x1b[31m raw");
    CHECK(garbage == Contains("manifest.json is damaged: not valid JSON: line 2, column 2"));
    CHECK(garbage.find("raw") == std::string::npos);
    CHECK(with_manifest("") == Contains("it is empty"));
    CHECK(with_manifest("{") == Contains("not valid JSON"));
    fs::remove(store.path_of(1) / "manifest.json");
    CHECK(message_of([&] { const Checkpoint c(store.path_of(1)); }) == Contains("has no manifest.json"));
  }

  TEST_CASE("the newest complete one is found; the damaged stay where they are") {
    const Quiet quiet;
    const TemporaryFolder folder;
    CHECK(!latest_checkpoint(folder.path() / "none"));
    CheckpointStore store(folder.path());
    CHECK(!latest_checkpoint(folder.path()));
    for (const int64_t step : {1, 2, 3}) store.save(step, contents(step));
    flip_byte(store.path_of(3) / "model.safetensors", 100);
    fs::remove(store.path_of(2) / "manifest.json");
    CHECK(step_in(latest_checkpoint(folder.path())->folder()) == 1);
    CHECK(checkpoint_steps(folder.path()) == std::vector<int64_t>{1, 2, 3});
  }

  TEST_CASE("all are damaged: each is named") {
    const TemporaryFolder folder;
    CheckpointStore store(folder.path());
    for (const int64_t step : {1, 2}) store.save(step, contents(step));
    fs::remove(store.path_of(1) / "manifest.json");
    fs::rename(store.path_of(2), store.path_of(3));  // of another step than its name says
    const std::string message = message_of([&] { latest_checkpoint(folder.path()); });
    CHECK(message == Contains("no checkpoint in " + folder.path().string() + " can be read"));
    CHECK(message == Contains("step-00000001 is not a complete checkpoint"));
    CHECK(message == Contains("step-00000003 is not what its name says: it is of step 2"));
  }

  TEST_CASE("what killed processes left is cleared, what they replaced comes back") {
    const TemporaryFolder folder;
    {
      CheckpointStore store(folder.path());
      store.save(1, contents(1));
      store.save(2, contents(2));
    }
    fs::create_directory(folder.path() / ".tmp-step-00000003");
    fs::copy(folder.path() / "step-00000001", folder.path() / ".old-step-00000001");
    fs::rename(folder.path() / "step-00000002", folder.path() / ".old-step-00000002");
    const CheckpointStore store(folder.path());
    CHECK(names_in(folder.path()) == std::vector<std::string>{"last", "step-00000001", "step-00000002"});
    CHECK(step_in(folder.path() / "last") == 2);
  }
}

TEST_SUITE("faults") {
  // What is saved under fire: a new step, or a step that is there already.
  struct Save {
    const char* name;
    int64_t step;
  };

  void check_intact(const fs::path& folder, const Save& save) {
    CAPTURE(names_in(folder));
    // A step that is being replaced may wait under another name for the next process, which puts it back.
    const CheckpointStore store(folder);
    CHECK(step_in(store.path_of(1)) == 1);
    CHECK(step_in(store.path_of(2)) == 2);
    const int64_t last = step_in(folder / "last");
    CHECK((last == 2 || last == save.step));
    for (const int64_t step : checkpoint_steps(folder)) CHECK(step_in(store.path_of(step)) == step);
    for (const std::string& name : names_in(folder)) CHECK((name == "last" || name.starts_with("step-")));
  }

  TEST_CASE("an operation that fails, at every point of a save") {
    for (const Save& save : {Save{"a new step", 3}, Save{"a step again", 2}}) {
      for (const Kind kind : {Kind::no_space, Kind::io_error, Kind::short_write}) {
        int failed = 0;
        for (long at = 1;; ++at) {
          CAPTURE(save.name);
          CAPTURE(int(kind));
          CAPTURE(at);
          const TemporaryFolder folder;
          CheckpointStore store(folder.path());
          store.save(1, contents(1));
          store.save(2, contents(2));
          const CheckpointContents next = contents(save.step);
          faults::arm(kind, at);
          const std::string message = message_of([&] { store.save(save.step, next); });
          const bool over = faults::disarm() < at;
          for (const std::string& name : names_in(folder.path())) CHECK(!name.starts_with(".tmp-"));
          check_intact(folder.path(), save);
          if (over) {
            CHECK(message == "");
            break;
          }
          if (!message.empty()) {
            ++failed;
            CHECK(message == Contains("cannot "));
            CHECK(message == Contains(folder.path().string()));
            CHECK(message == Contains(kind == Kind::io_error ? "Input/output error" : ": "));
            if (message.find("No space left") != std::string::npos) {
              CHECK(message == Contains("the disk is full: No space left on device ("));
              CHECK(message ==
                    Contains(message.starts_with("cannot write") ? " bytes free); the checkpoint takes " : ""));
            }
          }
          store.save(save.step, next);  // the next one succeeds
          CHECK(step_in(store.path_of(save.step)) == save.step);
        }
        CHECK(failed > 20);
      }
    }
  }

  TEST_CASE("kill -9 at every point of a save") {
    for (const Save& save : {Save{"a new step", 3}, Save{"a step again", 2}}) {
      for (long at = 1;; ++at) {
        CAPTURE(save.name);
        CAPTURE(at);
        const TemporaryFolder folder;
        CheckpointStore store(folder.path());
        store.save(1, contents(1));
        store.save(2, contents(2));
        const CheckpointContents next = contents(save.step);
        const pid_t child = fork();
        if (child == 0) {
          faults::arm(Kind::kill, at);
          store.save(save.step, next);
          _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        check_intact(folder.path(), save);
        if (WIFEXITED(status)) break;
        REQUIRE(WTERMSIG(status) == SIGKILL);
      }
    }
  }

  TEST_CASE("metrics: a full disk loses no line and leaves no half one") {
    const Quiet quiet;
    const TemporaryFolder folder;
    MetricsLog log(folder.path(), {true, false, {}}, {});
    log.write({1, 0, 0.5, {{"train.loss", 0.25}}});
    for (const Kind kind : {Kind::no_space, Kind::short_write}) {
      faults::arm(kind, 1);
      log.write({2, 0, 0.5, {{"train.loss", 0.125}}});
      faults::disarm();
      CHECK(files::read_text(folder.path() / "metrics.jsonl") == Contains("\"train.loss\": 0.25}\n"));
      CHECK(files::read_text(folder.path() / "metrics.jsonl").ends_with("}\n"));
      log.write({3, 1, 0.5, {}});
    }
    std::vector<std::string> steps;
    std::istringstream lines(files::read_text(folder.path() / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) steps.push_back(line.substr(0, line.find(',')));
    CHECK(steps ==
          std::vector<std::string>{"{\"step\": 1", "{\"step\": 2", "{\"step\": 3", "{\"step\": 2", "{\"step\": 3"});
  }

  TEST_CASE("an atomic file is there whole or not at all") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "config.yaml";
    files::write_atomically(path, "old");
    for (long at = 1;; ++at) {
      faults::arm(Kind::no_space, at);
      const std::string message = message_of([&] { files::write_atomically(path, "new"); });
      const bool over = faults::disarm() < at;
      const std::string text = files::read_text(path);
      CHECK((text == "old" || text == "new"));
      CHECK(names_in(folder.path()).size() == 1);
      if (over) {
        CHECK(text == "new");
        break;
      }
    }
  }
}

TEST_SUITE("run folders") {
  TEST_CASE("the name of each new folder is on the disk") {
    const Quiet quiet;
    const TemporaryFolder folder;
    std::vector<std::string> synced;
    faults::after_fsync = [&](int file) {
      synced.push_back(fs::read_symlink(format("/proc/self/fd/{}", file)).lexically_relative(folder.path()));
    };
    start_run(folder.path() / "new/runs", "a", "never").directory.keep();
    faults::after_fsync = nullptr;
    for (const std::string parent : {".", "new", "new/runs", "new/runs/a"}) {
      CAPTURE(parent);
      CHECK(std::ranges::count(synced, parent) > 0);
    }
    std::ofstream(folder.path() / "file");
    CHECK(message_of([&] { files::make_folders(folder.path() / "file"); }) == Contains("cannot make the folder"));
    CHECK(message_of([&] { files::make_folders(folder.path() / "file/a/b"); }) == Contains("file: Not a directory"));
    files::make_folders(folder.path() / "x/../y/");
    CHECK(fs::is_directory(folder.path() / "y"));
  }

  TEST_CASE("a new folder that another process takes at once is left to it") {
    const Quiet quiet;
    const TemporaryFolder folder;
    const fs::path root = folder.path() / "runs";
    std::optional<RunDirectory> other;
    faults::after_mkdir = [&](const char* path) {
      if (path != root / "a") return;
      other.emplace(root / "a");
      folder.write("runs/a/train.log", "theirs");
    };
    const auto start = [&] { return start_run(root, "a", "never").directory.path(); };
    CHECK(start() == root / "a-2");
    faults::after_mkdir = nullptr;
    CHECK(names_in(root) == std::vector<std::string>{"a"});
    CHECK(names_in(root / "a") == std::vector<std::string>{"train.log"});
  }

  void finish(const fs::path& run, bool finished, int64_t step) {
    CheckpointStore store(run / "checkpoints");
    CheckpointContents c = contents(step);
    c.state.set("finished", finished);
    store.save(step, c);
  }

  // The folder that a run begins in.
  fs::path begin_run(const fs::path& root, const std::string& name, const std::string& resume) {
    RunStart start = start_run(root, name, resume);
    start.directory.keep();
    return start.directory.path();
  }

  TEST_CASE("names: a new run never touches another one") {
    const Quiet quiet;
    const TemporaryFolder folder;
    const fs::path root = folder.path() / "runs";
    CHECK(begin_run(root, "a", "never") == root / "a");
    CHECK(begin_run(root, "a", "never") == root / "a-2");
    CHECK(begin_run(root, "a", "never") == root / "a-3");
    CHECK(begin_run(root, "b", "auto") == root / "b");
  }

  TEST_CASE("a run that does not begin leaves nothing, neither of it nor around it") {
    const Quiet quiet;
    const TemporaryFolder folder;
    fs::create_directory(folder.path() / "mine");
    start_run(folder.path() / "mine/new/er", "a", "never");
    CHECK(names_in(folder.path() / "mine").empty());
    begin_run(folder.path() / "mine", "a", "never");
    start_run(folder.path() / "mine", "a", "never");
    start_run(folder.path() / "mine", "a", "auto");
    CHECK(names_in(folder.path() / "mine") == std::vector<std::string>{"a"});
  }

  TEST_CASE("auto takes the highest number, whatever gaps there are, and no folder that is not such a run") {
    const Quiet quiet;
    const TemporaryFolder folder;
    const fs::path root = folder.path();
    for (const char* name : {"a", "a-2", "a-4"}) finish(root / name, false, 7);
    finish(root / "a-5", false, 7);
    folder.write("a-5/config.resolved.yaml", "run: {name: a-5}");  // a name of its own
    for (const char* name : {"a-06", "a-7x", "ab-8"}) finish(root / name, false, 7);
    CHECK(start_run(root, "a", "auto").directory.path() == root / "a-4");
    CHECK(start_run(root, "a", "never").directory.path() == root / "a-6");

    finish(root / "moved", false, 7);
    folder.write("moved/config.resolved.yaml", "run: {name: before}");
    CHECK(start_run(root, "moved", "auto").directory.path() == root / "moved");

    fs::create_directories(root / "b");
    folder.write("b/notes.txt", "mine");
    CHECK(start_run(root, "b", "auto").directory.path() == root / "b-2");
    CHECK(names_in(root / "b") == std::vector<std::string>{"notes.txt"});
  }

  TEST_CASE("the newest run of the name is damaged: a new one begins all the same") {
    const Quiet quiet;
    const TemporaryFolder folder;
    const fs::path root = folder.path();
    finish(root / "a", false, 7);
    CheckpointContents unreadable = contents(8);
    unreadable.state = config::Value::map({{"step", "eight"}});
    CheckpointStore(root / "a/checkpoints").save(7, unreadable);
    CHECK(start_run(root, "a", "never").directory.path() == root / "a-2");
  }

  TEST_CASE("auto continues the newest, and says so when it is finished") {
    const Quiet quiet;
    const TemporaryFolder folder;
    const fs::path root = folder.path();
    finish(root / "a", false, 7);
    {
      const RunStart start = start_run(root, "a", "auto");
      CHECK(start.directory.path() == root / "a");
      CHECK(start.continued);
      CHECK(!start.finished);
      CHECK(step_in(start.from->folder()) == 7);
      CHECK(message_of([&] { start_run(root, "a", "auto"); }) == Contains("in use by another process"));
    }
    finish(root / "a", true, 9);
    CHECK(start_run(root, "a", "auto").finished);
  }

  TEST_CASE("auto goes on from a step that was being replaced when its process was killed") {
    const TemporaryFolder folder;
    const fs::path root = folder.path(), checkpoints = root / "a/checkpoints";
    for (const int64_t step : {7, 9}) finish(root / "a", false, step);
    fs::rename(checkpoints / checkpoint_name(9), checkpoints / (".old-" + checkpoint_name(9)));
    CHECK(step_in(start_run(root, "a", "auto").from->folder()) == 9);
  }

  TEST_CASE("a path starts a new run from that checkpoint") {
    const TemporaryFolder folder;
    const fs::path root = folder.path();
    finish(root / "a", true, 7);
    const RunStart start = start_run(root, "a", (root / "a" / "checkpoints" / "last").string());
    CHECK(start.directory.path() == root / "a-2");
    CHECK(!start.continued);
    CHECK(step_in(start.from->folder()) == 7);
    CHECK(message_of([&] { start_run(root, "a", "none"); }) == "there is no checkpoint none");
    CHECK(!fs::exists(root / "a-3"));
  }

  TEST_CASE("metrics files are cut back to the checkpoint") {
    const TemporaryFolder folder;
    MetricsLog::Sizes sizes;
    {
      MetricsLog log(folder.path(), {true, true, {"lr", "val.loss"}}, {});
      log.write({1, 0, 1.25, {{"lr", 0.1}}});
      sizes = log.sync();
      log.write({2, 0, 2, {{"val.loss", 3}}});
    }
    const std::string jsonl = "{\"step\": 1, \"epoch\": 0, \"time\": 1.25, \"lr\": 0.1}\n";
    const std::string csv = "step,epoch,time,lr,val.loss\n1,0,1.250,0.1,\n";
    CHECK(files::read_text(folder.path() / "metrics.csv") == csv + "2,0,2.000,,3.0\n");
    const MetricsLog log(folder.path(), {true, true, {"lr", "val.loss"}}, sizes);
    CHECK(files::read_text(folder.path() / "metrics.jsonl") == jsonl);
    CHECK(files::read_text(folder.path() / "metrics.csv") == csv);
  }
  TEST_CASE("a metrics file that is switched off for a while keeps what it has") {
    const TemporaryFolder folder;
    MetricsLog::Sizes sizes;
    for (const bool wanted : {true, false, true}) {
      MetricsLog log(folder.path(), {wanted, wanted, {"lr"}}, sizes);
      log.write({1, 0, 0.5, {{"lr", 0.1}}});
      sizes = log.sync();
    }
    CHECK(files::read_text(folder.path() / "metrics.csv") == "step,epoch,time,lr\n1,0,0.500,0.1\n1,0,0.500,0.1\n");
    const std::string jsonl = "{\"step\": 1, \"epoch\": 0, \"time\": 0.5, \"lr\": 0.1}\n";
    CHECK(files::read_text(folder.path() / "metrics.jsonl") == jsonl + jsonl);
  }

  TEST_CASE("the rows of a csv fit its header, whatever is measured later") {
    const Quiet quiet;
    const TemporaryFolder folder;
    MetricsLog::Sizes sizes;
    for (const std::string first : {"lr", "val.f1"}) {
      MetricsLog log(folder.path(), {false, true, {first, "val.loss"}}, sizes);
      log.write({1, 0, 0.5, {{"val.loss", 2}, {first, 1}}});
      sizes = log.sync();
    }
    CHECK(files::read_text(folder.path() / "metrics.csv") ==
          "step,epoch,time,lr,val.loss\n1,0,0.500,1.0,2.0\n1,0,0.500,,2.0\n");
  }
}
