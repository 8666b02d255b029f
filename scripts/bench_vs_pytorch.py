#!/usr/bin/env python3
"""Training speed: `rstorch bench` against PyTorch's training step on the same models.

Runs both in turn (A B A B ...), each measurement in a process of its own and with the same number of threads, because
machines are shared: only ratios of neighbouring runs mean something. PyTorch is tuned first: for each workload every
setting in `settings_of` has a short trial, and the fastest one is the peer.

    python3 scripts/bench_vs_pytorch.py --python /usr/bin/python3 --python VENV/bin/python --out report.md

A new workload is a line in WORKLOADS, its model in `build_model`, and a config in tests/bench/configs.
"""
import argparse
import contextlib
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 2 ** 20


@dataclass(frozen=True)
class Workload:
    """One model and batch size. The config tests/bench/configs/NAME.yaml is rstorch's side of it."""
    name: str
    model: str
    batch: int
    images: bool = False  # inputs with channels: PyTorch may prefer another memory format

    @property
    def config(self):
        return ROOT / "tests" / "bench" / "configs" / f"{self.name}.yaml"


WORKLOADS = [
    Workload("mlp_b64", "mlp", 64),
    Workload("mlp_b1024", "mlp", 1024),
    Workload("lenet", "lenet", 64, images=True),
    Workload("resnet18", "resnet18", 128, images=True),
]
DEFAULT_WORKLOADS = ["mlp_b64", "mlp_b1024", "lenet"]  # resnet18 takes minutes on a CPU
STARTUP = "startup"  # process start and one step of mlp_b64


# ------------------------------------------------------------------------------------- PyTorch's side


def resnet18():
    """He et al. 2015, with the stem for 32x32 images that tests/bench/configs/resnet18.yaml has."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels, out_channels, stride):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU(),
                nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels))
            self.downsample = nn.Identity() if stride == 1 else nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.downsample(x))

    blocks = [Block(64, 64, 1), Block(64, 64, 1)]
    for channels in (64, 128, 256):
        blocks += [Block(channels, 2 * channels, 2), Block(2 * channels, 2 * channels, 1)]
    return nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def build_model(name, batch, optimizer_options):
    """Model, input, target and optimizer of a workload; must agree with its config."""
    import torch
    from torch import nn
    if name == "mlp":
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **optimizer_options)
        return model, torch.randn(batch, 784), torch.randint(10, (batch,)), optimizer
    if name == "lenet":
        model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                              nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **optimizer_options)
        return model, torch.randn(batch, 1, 28, 28), torch.randint(10, (batch,)), optimizer
    if name == "resnet18":
        model = resnet18()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, **optimizer_options)
        return model, torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,)), optimizer
    raise ValueError(f"no model {name}")


def peak_rss():
    """Highest resident memory of this process, in bytes. getrusage would count the parent's at exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def percentiles(times):
    """Median, p10 and p90 in milliseconds."""
    times = sorted(times)
    return {"median": statistics.median(times) * 1e3, "p10": times[len(times) // 10] * 1e3,
            "p90": times[len(times) * 9 // 10] * 1e3}


def measure_pytorch(job):
    """Runs inside the peer's interpreter: times training steps, prints one JSON object as `rstorch bench --json`."""
    import torch
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    setting = job["setting"]
    optimizer_options = {name: True for name in ("foreach", "fused") if name in setting}
    device = torch.device(job.get("device", "cpu"))
    with torch.device(device) if device.type != "cpu" else contextlib.nullcontext():  # the optimizer sees parameters there
        model, x, target, optimizer = build_model(job["model"], job["batch"], optimizer_options)
    half = job.get("precision", "fp32") != "fp32"
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, as for matrix products and as rstorch's
    if "channels_last" in setting:
        model, x = (value.to(memory_format=torch.channels_last) for value in (model, x))
    if "compile" in setting:
        model = torch.compile(model)
    loss_function = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            loss = loss_function(model(x), target)
        loss.backward()
        optimizer.step()
        return loss.item()  # waits for the device

    def run_for(seconds, at_least):
        times, end = [], time.perf_counter() + seconds
        while len(times) < at_least or time.perf_counter() < end:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return times

    run_for(job["seconds"] / 5, at_least=5)  # warm-up
    step_ms = percentiles(run_for(job["seconds"], at_least=10))
    result = {"step_ms": step_ms, "samples_per_s": job["batch"] / step_ms["median"] * 1e3, "peak_rss_bytes": peak_rss()}
    if device.type == "cuda":
        result["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result))


STARTUP_PROGRAM = """
import torch
from torch import nn
torch.set_num_threads({threads})
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
nn.CrossEntropyLoss()(model(torch.randn(64, 784)), torch.randint(10, (64,))).backward()
optimizer.step()
"""


def settings_of(workload, with_compile):
    """PyTorch's knobs that may make it faster; each setting is a set of names that `measure_pytorch` knows."""
    optimizers = [(), ("foreach",), ("fused",)]
    formats = [(), ("channels_last",)] if workload.images else [()]
    modes = [(), ("compile",)] if with_compile else [()]
    return [a + b + c for a in optimizers for b in formats for c in modes]


# ------------------------------------------------------------------------------------------ processes


def cpu_info():
    """Model name and flags of the first CPU."""
    fields = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
                  if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    return fields.get("model name", platform.machine()), fields.get("flags", "").split()


def environment(threads):
    """The same for both sides, plus what Debian's PyTorch needs to be fast (see --help)."""
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    openblas = Path(f"/usr/lib/{platform.machine()}-linux-gnu/openblas-openmp")
    if openblas.is_dir():
        variables["LD_LIBRARY_PATH"] = str(openblas)
    if "avx512f" in cpu_info()[1]:
        variables["OPENBLAS_CORETYPE"] = "SkylakeX"
    return variables


@dataclass(frozen=True)
class Peer:
    """A PyTorch to compare with."""
    python: str
    version: str

    @staticmethod
    def find(python):
        text = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        return Peer(python, text.strip())

    def measure(self, workload, setting, threads, seconds):
        """The measurement of one process, or None where this PyTorch does not have the setting."""
        job = {"model": workload.model, "batch": workload.batch, "setting": setting, "threads": threads,
               "seconds": seconds}
        done = subprocess.run([self.python, __file__, "--worker", json.dumps(job)], text=True, capture_output=True,
                              env=environment(threads))
        if done.returncode != 0:
            known = "fused" in setting or "compile" in setting
            if not known:
                sys.exit(f"PyTorch {self.version} failed on {workload.name}:\n{done.stderr}")
            return None
        return json.loads(done.stdout.splitlines()[-1])

    def tune(self, workload, threads, seconds, with_compile):
        """The fastest setting by short trials in turn; the best of three each, as others may use the machine."""
        medians = {}
        for _ in range(3):
            for setting in settings_of(workload, with_compile):
                result = self.measure(workload, setting, threads, seconds)
                if result:
                    medians.setdefault(setting, []).append(result["step_ms"]["median"])
        for setting, values in medians.items():
            log(f"  {self.version} {name_of(setting)}: {min(values):.3f} ms")
        return min(medians, key=lambda setting: min(medians[setting]))

    def measure_startup(self, threads):
        program = STARTUP_PROGRAM.format(threads=threads)
        return timed_process([self.python, "-c", program], environment(threads))


@dataclass(frozen=True)
class Rstorch:
    """Our side."""
    program: str

    def measure(self, workload, threads):
        done = subprocess.run([self.program, "bench", str(workload.config), "--json"], text=True, capture_output=True,
                              env=environment(threads))
        if done.returncode != 0:
            sys.exit(f"rstorch bench failed on {workload.name}:\n{done.stderr}")
        return json.loads(done.stdout)

    def measure_startup(self, threads):
        with tempfile.TemporaryDirectory() as folder:
            command = [self.program, "train", str(WORKLOADS[0].config), "trainer.max_steps=1", f"run.dir={folder}"]
            return timed_process(command, environment(threads))


def timed_process(command, variables):
    """Wall time and peak memory of a whole process, in the form of the other measurements."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=variables)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{shlex.join(command[:3])} failed:\n{error.decode()}")
    process.returncode = 0  # reaped above
    return {"step_ms": percentiles([wall]), "peak_rss_bytes": usage.ru_maxrss * 1024}


def log(text):
    print(text, file=sys.stderr, flush=True)


# --------------------------------------------------------------------------------------------- report


def name_of(setting):
    return " ".join(setting) or "default"


def summary(runs):
    """Medians over the rounds of one side's measurements."""
    def over_rounds(get):
        return statistics.median(get(run) for run in runs)
    return {"median": over_rounds(lambda run: run["step_ms"]["median"]),
            "p10": over_rounds(lambda run: run["step_ms"]["p10"]),
            "p90": over_rounds(lambda run: run["step_ms"]["p90"]),
            "samples_per_s": over_rounds(lambda run: run.get("samples_per_s", 0)),
            "rss": over_rounds(lambda run: run["peak_rss_bytes"]) / MIB}


def milliseconds(side):
    if side["p10"] == side["p90"]:  # a whole process was timed, not its steps
        return f"{side['median']:.0f}"
    return f"{side['median']:.2f} ({side['p10']:.2f} to {side['p90']:.2f})"


def rate(side):
    return f"{side['samples_per_s']:.0f}" if side["samples_per_s"] else ""


def comparison_table(results):
    """One row for each workload and peer. `results`: (workload name, peer version, setting, ours, theirs)."""
    lines = ["| workload | PyTorch | its setting | rstorch ms (p10 to p90) | PyTorch ms (p10 to p90) "
             "| speed ratio min / median / max | samples/s, rstorch / PyTorch "
             "| peak MiB, rstorch / PyTorch | memory ratio |",
             "|---|---|---|---|---|---|---|---|---|"]
    for name, version, setting, ours, theirs in results:
        ratios = sorted(b["step_ms"]["median"] / a["step_ms"]["median"] for a, b in zip(ours, theirs))
        a, b = summary(ours), summary(theirs)
        lines.append(f"| {name} | {version} | {setting} | {milliseconds(a)} | {milliseconds(b)} "
                     f"| {ratios[0]:.2f} / **{statistics.median(ratios):.2f}** / {ratios[-1]:.2f} "
                     f"| {' / '.join(filter(None, (rate(a), rate(b))))} | {a['rss']:.0f} / {b['rss']:.0f} "
                     f"| {a['rss'] / b['rss']:.2f} |")
    return "\n".join(lines)


def peer_table(results):
    """The rows without rstorch's side, for --peers-only."""
    lines = ["| workload | PyTorch | its setting | ms (p10 to p90) | samples/s | peak MiB |",
             "|---|---|---|---|---|---|"]
    for name, version, setting, _, theirs in results:
        side = summary(theirs)
        lines.append(f"| {name} | {version} | {setting} | {milliseconds(side)} | {rate(side)} | {side['rss']:.0f} |")
    return "\n".join(lines)


def git_commit():
    """The commit that is checked out, marked when tracked files differ from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments], text=True, capture_output=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + (" (modified)" if git("status", "--porcelain", "-uno") else "")


def report(table, arguments, rounds_text):
    """The table with all that a reader needs to judge it."""
    shared = environment(arguments.threads)
    tuned = [f"{name}={shared[name]}" for name in ("OMP_NUM_THREADS", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE")
             if name in shared]
    tried = f"default, foreach and fused optimizer{', torch.compile' if arguments.compile else ''}"
    return "\n".join([
        "# Training step: rstorch and PyTorch", "",
        table, "",
        f"- {date.today()}, {cpu_info()[0]}, {os.cpu_count()} CPUs, {arguments.threads} threads, commit {git_commit()}",
        f"- {rounds_text}. Times are medians over the rounds.",
        "- Speed ratio: PyTorch's time over rstorch's in the same round; above 1, rstorch is faster.",
        f"- PyTorch's setting is the fastest in short trials of: {tried}, for images also channels_last. "
        f"Environment: {' '.join(tuned)}.",
        "- startup: wall time of a whole process that makes one step of mlp_b64. Its memory is getrusage's, which is "
        "at least that of the script that started it.", ""])


# ----------------------------------------------------------------------------------------------- main


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Debian's python3-torch needs the package libopenblas0-openmp, and on CPUs with AVX-512 "
               "OPENBLAS_CORETYPE=SkylakeX, or it is several times slower; both are set here.")
    parser.add_argument("--rstorch", default=str(ROOT / "build" / "rstorch"), help="rstorch program")
    parser.add_argument("--python", action="append", help="interpreter that has torch; may be given several times")
    parser.add_argument("--workload", action="append", choices=[w.name for w in WORKLOADS] + [STARTUP],
                        help="only this one; may be given several times")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="length of a PyTorch measurement")
    parser.add_argument("--compile", action="store_true", help="try torch.compile too (needs a C++ compiler)")
    parser.add_argument("--peers-only", action="store_true", help="measure PyTorch alone")
    parser.add_argument("--out", type=Path, help="write the report to this Markdown file")
    parser.add_argument("--measure", choices=[w.name for w in WORKLOADS],
                        help="measure PyTorch alone in this interpreter, as one JSON object; takes the three below")
    parser.add_argument("--device", default="cpu", help="of --measure: cpu or cuda")
    parser.add_argument("--setting", default="default", help="of --measure: words of foreach, fused, channels_last, compile")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of --measure; bf16: autocast")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(workload, ours, peers, arguments):
    """All rounds of one workload; one result for each peer."""
    log(workload.name)
    settings = [peer.tune(workload, arguments.threads, arguments.seconds / 4, arguments.compile) for peer in peers]
    own_runs, peer_runs = [], [[] for _ in peers]
    for _ in range(arguments.rounds):
        if ours:
            own_runs.append(ours.measure(workload, arguments.threads))
        for runs, peer, setting in zip(peer_runs, peers, settings):
            runs.append(peer.measure(workload, setting, arguments.threads, arguments.seconds))
    return [(workload.name, peer.version, name_of(setting), own_runs, runs)
            for peer, setting, runs in zip(peers, settings, peer_runs)]


def compare_startup(ours, peers, arguments):
    """As `compare`, for whole processes. The first round fills the file cache and does not count."""
    log(STARTUP)
    own_runs, peer_runs = [], [[] for _ in peers]
    for _ in range(arguments.rounds + 1):
        if ours:
            own_runs.append(ours.measure_startup(arguments.threads))
        for runs, peer in zip(peer_runs, peers):
            runs.append(peer.measure_startup(arguments.threads))
    return [(STARTUP, peer.version, "default", own_runs[1:], runs[1:]) for peer, runs in zip(peers, peer_runs)]


def main():
    arguments = parse_arguments()
    if arguments.worker:
        measure_pytorch(json.loads(arguments.worker))
        return
    if arguments.measure:
        workload = next(w for w in WORKLOADS if w.name == arguments.measure)
        measure_pytorch({"model": workload.model, "batch": workload.batch, "setting": arguments.setting.split(),
                         "threads": arguments.threads, "seconds": arguments.seconds, "device": arguments.device,
                         "precision": arguments.precision})
        return
    ours = None if arguments.peers_only else Rstorch(arguments.rstorch)
    peers = [Peer.find(python) for python in arguments.python or ["python3"]]
    wanted = arguments.workload or DEFAULT_WORKLOADS + [STARTUP]
    results = []
    for workload in WORKLOADS:
        if workload.name in wanted:
            results += compare(workload, ours, peers, arguments)
    if STARTUP in wanted:
        results += compare_startup(ours, peers, arguments)
    table = comparison_table(results) if ours else peer_table(results)
    print(table)
    if arguments.out:
        text = report(table, arguments, f"{arguments.rounds} rounds, the sides in turn, {arguments.seconds:g} s of "
                                        "PyTorch steps each after a fifth of that as warm-up")
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
        log(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
