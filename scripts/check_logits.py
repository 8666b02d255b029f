#!/usr/bin/env python3
"""Shows that a trained checkpoint means the same to PyTorch: same keys, same logits.

    rstorch predict runs/NAME/checkpoints/last --data PATH --out preds.jsonl
    scripts/check_logits.py runs/NAME/checkpoints/last preds.jsonl --data PATH

Builds the PyTorch model from `model.layers` of the checkpoint's config.yaml, loads model.safetensors by key (strict),
runs the samples of PATH in eval mode (the IDX test images of a folder, or all rows of a CSV file) and compares with the
logits that rstorch wrote. Needs PyTorch and PyYAML (Debian's python3-torch brings both). Exit status 0: same keys and
all logits within the tolerance (relative and absolute, as torch.allclose).
"""
import argparse
import csv
import gzip
import json
import struct
import sys
from collections import OrderedDict
from pathlib import Path

SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def import_libraries():
    """After the arguments are read, so that --help needs none of them."""
    global np, torch, yaml, nn
    try:
        import numpy as np
        import torch
        import yaml
        from torch import nn
    except ImportError as error:
        sys.exit(f"{error}: install PyTorch and PyYAML, such as Debian's python3-torch")


def read_safetensors(path):
    """Every tensor of the file, by name."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            array = np.frombuffer(data[begin:end], SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(array.copy())
    return tensors


def read_idx(folder, kind):
    """The array of `t10k-KIND-idxN-ubyte` in `folder`, plain or gz."""
    path = next(iter(sorted(folder.glob(f"t10k-{kind}-idx?-ubyte*"))), None)
    if path is None:
        sys.exit(f"{folder}: no t10k-{kind}-idx?-ubyte file")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4:4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


# ---------------------------------------------------------------------------------------------- model


# Each builder gets the layer's arguments and its weight, which knows the input width that the config may leave out.
LAYERS = {
    "Linear": lambda weight, **rest: nn.Linear(**{**rest, "in_features": weight.shape[1]}),
    "Conv2d": lambda weight, groups=1, **rest: nn.Conv2d(
        **{**rest, "groups": groups, "in_channels": weight.shape[1] * groups}),
    "BatchNorm1d": lambda weight, **rest: nn.BatchNorm1d(**{**rest, "num_features": weight.shape[0]}),
    "BatchNorm2d": lambda weight, **rest: nn.BatchNorm2d(**{**rest, "num_features": weight.shape[0]}),
    "LayerNorm": lambda weight, **rest: nn.LayerNorm(**{**rest, "normalized_shape": weight.shape}),
}
for plain in ("AdaptiveAvgPool2d", "AvgPool2d", "Dropout", "Flatten", "GELU", "Identity", "MaxPool2d", "ReLU", "SiLU",
              "Sigmoid", "Tanh"):  # no weight, PyTorch's arguments
    LAYERS[plain] = lambda weight, plain=plain, **rest: getattr(nn, plain)(**rest)


def number(value):
    """`1e-5` is a number to rstorch but, having no dot, text to PyYAML."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def parse_layer(index, item):
    """(state_dict name, kind, arguments) of `ReLU`, `{Linear: {...}}`, `{fc: ReLU}` or `{fc: {Linear: {...}}}`."""
    name = str(index)
    if isinstance(item, dict):
        [(key, value)] = item.items()
        if key in LAYERS:
            return name, key, value or {}
        name, item = key, value
    if isinstance(item, dict):
        [(kind, arguments)] = item.items()
        return name, kind, arguments or {}
    return name, item, {}


def build_model(layers, state):
    """The config's layers as PyTorch's Sequential."""
    modules = OrderedDict()
    for index, item in enumerate(layers):
        name, kind, arguments = parse_layer(index, item)
        if kind not in LAYERS:
            sys.exit(f"layer {name}: this script does not know {kind}")
        arguments = {key: number(value) for key, value in arguments.items()}
        modules[name] = LAYERS[kind](state.get(f"{name}.weight"), **arguments)
    return nn.Sequential(modules)


# ----------------------------------------------------------------------------------------------- data


def image_samples(folder, learnt):
    """Images in [0, 1], by the largest value that the training images had, and their labels."""
    x = torch.from_numpy(read_idx(folder, "images").copy()).float().unsqueeze(1) / learnt["max_value"]
    return x, torch.from_numpy(read_idx(folder, "labels").copy()).long()


def table_samples(path, learnt, dataset):
    """The rows of a CSV file as rstorch makes vectors of them, and their classes."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        for _ in range(dataset.get("skip_rows") or 0):
            next(file)
        rows = [row for row in csv.reader(file, delimiter=dataset.get("delimiter") or ",") if row]
    if dataset.get("header") or (dataset.get("header") is None and not any(is_number(cell) for cell in rows[0])):
        header = rows.pop(0)
    names = dataset.get("column_names") or header
    values = {name: [row[i].strip() for row in rows] for i, name in enumerate(names)}
    x = []
    for column in learnt["columns"]:
        cells = values[column["name"]]
        if "categories" not in column:
            mean, std = (column["mean"], column["std"]) if dataset.get("standardize", True) else (0, 1)
            x.append([(float(cell) - mean) / std for cell in cells])
        elif dataset.get("encoding") == "codes":
            x.append([column["categories"].index(cell) for cell in cells])
        else:
            x += [[float(cell == category) for cell in cells] for category in column["categories"]]
    target = dataset.get("target", -1)
    targets = values[target if isinstance(target, str) else names[target]]
    return torch.tensor(x, dtype=torch.float64).float().T.contiguous(), torch.tensor(
        [learnt["targets"].index(cell) for cell in targets])


def is_number(cell):
    try:
        float(cell)
        return True
    except ValueError:
        return False


def samples_of(config, learnt, path):
    """Inputs and classes of the data at `path`, by default the config's own."""
    dataset = config["data"].get("val") or config["data"]
    path = path or Path(dataset["path"])
    [(kind, state)] = learnt.items()
    if kind == "mnist":
        return image_samples(path, state)
    if kind == "csv":
        return table_samples(path, state, dataset)
    sys.exit(f"data {kind}: this script knows mnist and csv only")


def transformed(x, transforms):
    """The samples after the config's transforms."""
    for item in transforms:
        [(kind, arguments)] = item.items()
        if kind != "Normalize":
            sys.exit(f"transform {kind}: this script knows Normalize only")
        mean, std = (torch.tensor([float(v) for v in np.atleast_1d(arguments[key])]).view(-1, 1, 1)
                     for key in ("mean", "std"))
        x = (x - mean) / std
    return x


def transforms_of(config):
    """The transforms of evaluation: a list for all parts, or one for each part."""
    transforms = config["data"].get("transforms") or []
    return transforms.get("val") or [] if isinstance(transforms, dict) else transforms


# ----------------------------------------------------------------------------------------- comparison


def read_logits(path):
    """The `logits` (or `outputs`) list of each line of a JSONL file."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return torch.tensor([row["logits"] if "logits" in row else row["outputs"] for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("logits", type=Path, help="JSONL file that `rstorch predict` wrote")
    parser.add_argument("--data", type=Path, help="what the predictions are for; default: the config's data path")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    import_libraries()

    config = yaml.safe_load((arguments.checkpoint / "config.yaml").read_text())
    state = read_safetensors(arguments.checkpoint / "model.safetensors")
    model = build_model(config["model"]["layers"], state)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:  # lists the keys and shapes that do not fit
        sys.exit(f"FAIL: {error}")
    model.eval()

    learnt = json.loads((arguments.checkpoint / "state.json").read_text())["data"]
    x, labels = samples_of(config, learnt, arguments.data)
    with torch.no_grad():
        expected = torch.cat([model(part) for part in transformed(x, transforms_of(config)).split(500)])

    logits = read_logits(arguments.logits)
    if logits.shape != expected.shape:
        sys.exit(f"{arguments.logits}: logits are {list(logits.shape)}, PyTorch's {list(expected.shape)}")
    difference = (logits - expected).abs()
    # As torch.allclose: one part in 1e5 of the logit, and the same below 1. At 32 one step of f32 alone is 4e-6.
    share = (difference / (arguments.tolerance * (1 + expected.abs()))).max().item()
    accuracy = [(values.argmax(1) == labels).double().mean().item() for values in (logits, expected)]
    passed = share <= 1
    print(f"{len(state)} tensors loaded by key, {len(labels)} samples, "
          f"logits up to {expected.abs().max().item():.3g}")
    print(f"max abs difference {difference.max().item():.3g}, {share:.2f} of what is allowed "
          f"(atol = rtol = {arguments.tolerance:g}); "
          f"accuracy rstorch {accuracy[0]:.4f}, PyTorch {accuracy[1]:.4f}")
    print("PASS" if passed else "FAIL")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
