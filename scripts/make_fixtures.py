#!/usr/bin/env python3
"""Writes the PyTorch parity fixtures of tests/fixtures.

PyTorch is the oracle: this script runs each operation, layer, loss and optimizer once on small random inputs and
records inputs, parameters, outputs and gradients. The C++ tests read the files; no Python takes part in a test run.
Naming conventions are in tests/fixtures/README.md.

    python3 scripts/make_fixtures.py [--out tests/fixtures]

Needs any PyTorch from 1.13 on (Debian: python3-torch). The numbers depend on its version in the last bits only.
"""
import argparse
import itertools
import json
import math
import random
import struct
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

F32, F64 = torch.float32, torch.float64
DTYPES = {  # rstorch's name -> PyTorch's dtype, in the row and column order of promotion.json
    "bool": torch.bool, "u8": torch.uint8, "i32": torch.int32, "i64": torch.int64,
    "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64,
}
SHORT_NAME = {dtype: name for name, dtype in DTYPES.items()}
SAFETENSORS_NAME = {torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64",
                    torch.float32: "F32", torch.float64: "F64"}


# ---------------------------------------------------------------------------------------------- files


class Fixture:
    """The cases of one file: named tensors plus, for each case, its settings."""

    def __init__(self):
        self.tensors = {}
        self.settings = {}

    def add(self, case, settings, tensors):
        """Adds one case; its tensors get the prefix `case/`."""
        if case in self.settings:
            raise ValueError(f"case {case} is there twice")
        self.settings[case] = settings
        for name, tensor in tensors.items():
            self.tensors[f"{case}/{name}"] = tensor.detach().clone().contiguous()


def save(path, fixture):
    """Writes `fixture` as safetensors: u64 header length, JSON header, tensor data, all little-endian."""
    metadata = {"torch": torch.__version__, "cases": json.dumps(list(fixture.settings))}
    metadata.update({case: json.dumps(settings) for case, settings in fixture.settings.items()})
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in fixture.tensors.items():
        data = tensor.numpy().tobytes()
        header[name] = {"dtype": SAFETENSORS_NAME[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that every f64 is aligned when the file is mapped
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    print(f"{path}: {len(fixture.settings)} cases, {len(fixture.tensors)} tensors, {path.stat().st_size} bytes")


def save_json(path, document, count):
    """Writes `document` as JSON, one case a line, so that a changed case is a changed line."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
            continue
        lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path}: {count} cases, {path.stat().st_size} bytes")


# -------------------------------------------------------------------------------------- one recording


def normal(*shape, dtype=F64):
    """Standard normal values, drawn in f64 so that an f32 case sees the same numbers rounded."""
    return torch.randn(shape, dtype=F64).to(dtype)


def leaf(tensor):
    """A copy of `tensor` that collects a gradient."""
    return tensor.detach().clone().requires_grad_(True)


def record_function(function, **inputs):
    """Runs `function(**inputs)` forward and backward with a random cotangent.

    Floating inputs get gradients. Returns inputs under their names, y, dy and d<input> for each floating input.
    """
    arguments = {name: leaf(x) if x.is_floating_point() else x for name, x in inputs.items()}
    y = function(**arguments)
    dy = normal(*y.shape, dtype=y.dtype)
    y.backward(dy)
    tensors = {**inputs, "y": y, "dy": dy}
    tensors.update({"d" + name: x.grad for name, x in arguments.items() if x.requires_grad})
    return tensors


def record_module(module, x):
    """Runs `module(x)` forward and backward. Returns x, y, dy, dx, each parameter p and its gradient d<p>."""
    module.zero_grad()
    parameters = {name: p.detach().clone() for name, p in module.named_parameters()}
    tensors = {**record_function(lambda x: module(x), x=x), **parameters}
    tensors.update({"d" + name: p.grad.clone() for name, p in module.named_parameters()})
    return tensors


def randomise(module):
    """Gives every parameter random values: defaults such as BatchNorm's ones would hide errors."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(normal(*parameter.shape) * 0.5)
    return module


# ----------------------------------------------------------------------------------------------- layers


def linear():
    fixture = Fixture()
    for case, shape, settings, dtype in [
        ("basic", (5, 4), dict(in_features=4, out_features=3, bias=True), F64),
        ("no_bias", (5, 4), dict(in_features=4, out_features=3, bias=False), F64),
        ("vector", (4,), dict(in_features=4, out_features=3, bias=True), F64),
        ("three_dims", (2, 3, 4), dict(in_features=4, out_features=6, bias=True), F64),
        ("one_feature", (3, 1), dict(in_features=1, out_features=1, bias=True), F64),
        ("f32", (17, 33), dict(in_features=33, out_features=10, bias=True), F32),
    ]:
        module = randomise(nn.Linear(**settings)).to(dtype)
        fixture.add(case, settings, record_module(module, normal(*shape, dtype=dtype)))
    return fixture


def conv2d():
    fixture = Fixture()
    plain = dict(in_channels=2, out_channels=3, kernel_size=3, stride=1, padding=0, dilation=1, groups=1, bias=True)
    for case, shape, changes, dtype in [
        ("basic", (2, 2, 6, 7), {}, F64),
        ("no_bias", (2, 2, 6, 7), dict(bias=False), F64),
        ("stride2", (2, 2, 7, 8), dict(stride=2), F64),
        ("stride_rect", (1, 2, 7, 8), dict(stride=[2, 1], padding=[0, 1]), F64),
        ("padding1", (2, 2, 5, 5), dict(padding=1), F64),
        ("padding_rect", (1, 2, 5, 6), dict(padding=[1, 2]), F64),
        ("dilation2", (2, 2, 8, 7), dict(dilation=2), F64),
        ("dilation_rect", (1, 2, 8, 7), dict(dilation=[1, 2], padding=2), F64),
        ("groups2", (2, 4, 5, 5), dict(in_channels=4, out_channels=6, groups=2), F64),
        ("depthwise", (2, 3, 5, 5), dict(in_channels=3, groups=3, padding=1), F64),
        ("depthwise_wide", (1, 3, 5, 5), dict(in_channels=3, out_channels=6, groups=3, bias=False), F64),
        ("kernel1", (2, 2, 4, 4), dict(kernel_size=1), F64),
        ("kernel1_stride2", (2, 2, 5, 5), dict(kernel_size=1, stride=2), F64),
        ("kernel_rect", (2, 2, 5, 6), dict(kernel_size=[3, 2]), F64),
        ("same", (2, 2, 5, 6), dict(padding="same"), F64),
        ("same_even_kernel", (1, 2, 5, 6), dict(kernel_size=[4, 2], padding="same"), F64),
        ("same_dilation2", (1, 2, 6, 6), dict(padding="same", dilation=2), F64),
        ("valid", (1, 2, 5, 6), dict(padding="valid"), F64),
        ("everything", (2, 4, 9, 8), dict(in_channels=4, out_channels=4, kernel_size=[3, 2], stride=[2, 3],
                                          padding=[2, 1], dilation=[2, 1], groups=2), F64),
        ("unused_border", (1, 1, 6, 6), dict(in_channels=1, out_channels=1, stride=2), F64),
        ("one_pixel", (2, 2, 3, 3), {}, F64),
        ("f32", (2, 3, 10, 9), dict(in_channels=3, out_channels=8, padding=1), F32),
        ("f32_winograd", (1, 8, 8, 8), dict(in_channels=8, out_channels=8, padding=1, bias=False), F32),
        ("f32_groups", (1, 4, 6, 6), dict(in_channels=4, out_channels=4, groups=2, stride=2, padding=1), F32),
    ]:
        settings = {**plain, **changes}
        module = randomise(nn.Conv2d(**settings)).to(dtype)
        fixture.add(case, settings, record_module(module, normal(*shape, dtype=dtype)))
    return fixture


def pool():
    fixture = Fixture()
    max_plain = dict(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    for case, shape, changes, dtype in [
        ("max/basic", (2, 2, 6, 6), {}, F64),
        ("max/odd_size", (1, 2, 7, 5), {}, F64),
        ("max/ceil", (1, 2, 7, 5), dict(ceil_mode=True), F64),
        ("max/overlapping", (2, 2, 7, 7), dict(kernel_size=3, stride=2), F64),
        ("max/padding", (2, 2, 7, 6), dict(kernel_size=3, stride=2, padding=1), F64),
        ("max/padding_ceil", (1, 2, 6, 6), dict(kernel_size=3, stride=2, padding=1, ceil_mode=True), F64),
        ("max/ceil_drops_window", (1, 1, 4, 4), dict(kernel_size=2, stride=3, padding=1, ceil_mode=True), F64),
        ("max/dilation", (1, 2, 8, 8), dict(kernel_size=3, stride=1, dilation=2), F64),
        ("max/rect", (1, 2, 7, 8), dict(kernel_size=[3, 2], stride=[1, 2], padding=[1, 0]), F64),
        ("max/f32", (2, 4, 12, 12), {}, F32),
    ]:
        settings = {**max_plain, **changes}
        fixture.add(case, {"type": "MaxPool2d", **settings},
                    record_module(nn.MaxPool2d(**settings), normal(*shape, dtype=dtype)))
    ties = torch.tensor([[1., 1, 0, 2], [1, 1, 2, 2], [math.nan, 3, -1, -1], [4, 5, -1, -1]], dtype=F64)
    fixture.add("max/ties_and_nan", {"type": "MaxPool2d", **max_plain},
                record_module(nn.MaxPool2d(**max_plain), ties.view(1, 1, 4, 4)))

    avg_plain = dict(kernel_size=2, stride=2, padding=0, ceil_mode=False, count_include_pad=True)
    for case, shape, changes, dtype in [
        ("avg/basic", (2, 2, 6, 6), {}, F64),
        ("avg/odd_size", (1, 2, 7, 5), {}, F64),
        ("avg/ceil", (1, 2, 7, 5), dict(ceil_mode=True), F64),
        ("avg/padding_counted", (1, 2, 6, 7), dict(kernel_size=3, padding=1), F64),
        ("avg/padding_not_counted", (1, 2, 6, 7), dict(kernel_size=3, padding=1, count_include_pad=False), F64),
        ("avg/ceil_counted", (1, 2, 6, 6), dict(kernel_size=3, padding=1, ceil_mode=True), F64),
        ("avg/ceil_not_counted", (1, 2, 6, 6),
         dict(kernel_size=3, padding=1, ceil_mode=True, count_include_pad=False), F64),
        ("avg/overlapping", (1, 2, 6, 6), dict(kernel_size=3, stride=1), F64),
        ("avg/rect", (1, 2, 7, 8), dict(kernel_size=[3, 2], stride=[2, 1], padding=[1, 0]), F64),
        ("avg/f32", (2, 4, 12, 12), {}, F32),
    ]:
        settings = {**avg_plain, **changes}
        fixture.add(case, {"type": "AvgPool2d", **settings},
                    record_module(nn.AvgPool2d(**settings), normal(*shape, dtype=dtype)))

    for case, shape, output_size, dtype in [
        ("adaptive/one", (2, 3, 5, 4), 1, F64),
        ("adaptive/divides", (1, 2, 6, 6), 3, F64),
        ("adaptive/uneven", (1, 2, 7, 5), [3, 2], F64),
        ("adaptive/enlarges", (1, 2, 3, 3), 5, F64),
        ("adaptive/f32", (2, 4, 8, 8), 1, F32),
    ]:
        fixture.add(case, {"type": "AdaptiveAvgPool2d", "output_size": output_size},
                    record_module(nn.AdaptiveAvgPool2d(output_size), normal(*shape, dtype=dtype)))
    return fixture


def batch_norm_case(module, shape, dtype):
    """Two training steps, then one evaluation; buffers after each step. See the README for the names."""
    tensors = {name: p.detach().clone() for name, p in module.named_parameters()}
    for step in ("1", "2", "_eval"):
        module.train(step != "_eval")
        x = (normal(*shape) * 1.5 + 0.7).to(dtype)
        recorded = record_module(module, x)
        parameters = {name for name, _ in module.named_parameters()}
        tensors.update({name + step: value for name, value in recorded.items() if name not in parameters})
        if step != "_eval":
            tensors.update({name + step: value.clone() for name, value in module.named_buffers()})
    return tensors


def norm():
    fixture = Fixture()
    plain = dict(num_features=3, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True)
    for case, kind, shape, changes, dtype in [
        ("batch1d/basic", nn.BatchNorm1d, (6, 3), {}, F64),
        ("batch1d/three_dims", nn.BatchNorm1d, (4, 3, 5), {}, F64),
        ("batch1d/f32", nn.BatchNorm1d, (16, 3), {}, F32),
        ("batch2d/basic", nn.BatchNorm2d, (4, 3, 3, 2), {}, F64),
        ("batch2d/settings", nn.BatchNorm2d, (4, 3, 3, 2), dict(momentum=0.3, eps=1e-2), F64),
        ("batch2d/cumulative", nn.BatchNorm2d, (4, 3, 2, 2), dict(momentum=None), F64),
        ("batch2d/no_affine", nn.BatchNorm2d, (4, 3, 2, 2), dict(affine=False), F64),
        ("batch2d/no_running_stats", nn.BatchNorm2d, (4, 3, 2, 2), dict(track_running_stats=False), F64),
        ("batch2d/f32", nn.BatchNorm2d, (8, 3, 5, 5), {}, F32),
    ]:
        settings = {**plain, **changes}
        module = randomise(kind(**settings)).to(dtype)
        fixture.add(case, {"type": kind.__name__, **settings}, batch_norm_case(module, shape, dtype))

    for case, shape, normalized_shape, changes, dtype in [
        ("layer/basic", (4, 6), [6], {}, F64),
        ("layer/three_dims", (2, 3, 6), [6], {}, F64),
        ("layer/two_normalized", (3, 2, 4), [2, 4], {}, F64),
        ("layer/eps", (4, 6), [6], dict(eps=1e-2), F64),
        ("layer/no_affine", (4, 6), [6], dict(elementwise_affine=False), F64),
        ("layer/f32", (8, 48), [48], {}, F32),
    ]:
        settings = dict(normalized_shape=normalized_shape, eps=1e-5, elementwise_affine=True)
        settings.update(changes)
        module = randomise(nn.LayerNorm(**settings)).to(dtype)
        fixture.add(case, {"type": "LayerNorm", **settings}, record_module(module, normal(*shape, dtype=dtype)))
    return fixture


# ------------------------------------------------------------------------------------------ operations


def activation():
    fixture = Fixture()
    functions = {
        "relu": (F.relu, {}), "sigmoid": (torch.sigmoid, {}), "tanh": (torch.tanh, {}), "silu": (F.silu, {}),
        "gelu": (F.gelu, dict(approximate="none")), "gelu_tanh": (F.gelu, dict(approximate="tanh")),
    }
    special = torch.tensor([0., -0., 1, -1, 1e-8, 5, -5, 20, -20, 100, -100, 800, -800], dtype=F64)
    for name, (function, settings) in functions.items():
        def run(x):
            return function(x, **settings)
        fixture.add(f"{name}/basic", settings, record_function(run, x=normal(3, 7) * 3))
        fixture.add(f"{name}/special", settings, record_function(run, x=special))
        fixture.add(f"{name}/f32", settings, record_function(run, x=(normal(41) * 3).to(F32)))

    for name, function in {"softmax": F.softmax, "log_softmax": F.log_softmax}.items():
        for case, shape, dim in [("last", (4, 5), 1), ("first", (4, 5), 0), ("middle", (2, 5, 3), 1),
                                 ("negative", (2, 3, 4), -3), ("vector", (6,), 0), ("one", (4, 1), 1)]:
            fixture.add(f"{name}/{case}", dict(dim=dim),
                        record_function(lambda x: function(x, dim=dim), x=normal(*shape) * 2))
        large = torch.tensor([[1000., 1001, 999], [-1000, 0, 1000], [-math.inf, 1, 2]], dtype=F64)
        fixture.add(f"{name}/large", dict(dim=1), record_function(lambda x: function(x, dim=1), x=large))
        fixture.add(f"{name}/f32", dict(dim=1),
                    record_function(lambda x: function(x, dim=1), x=(normal(5, 67) * 3).to(F32)))
    return fixture


def binary():
    """Broadcasting with gradients: they are summed back to the shape of each operand."""
    fixture = Fixture()
    functions = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
    for name, function in functions.items():
        for case, a_shape, b_shape in [("same", (3, 4), (3, 4)), ("row", (3, 4), (4,)), ("column", (3, 4), (3, 1)),
                                       ("outer", (3, 1), (1, 4)), ("zero_dim", (3, 4), ()), ("deep", (4,), (2, 3, 1)),
                                       ("empty", (0, 4), (1, 4))]:
            b = normal(*b_shape)
            b = torch.sign(b) * (b.abs() + 0.5)  # away from zero, for div
            fixture.add(f"{name}/{case}", dict(op=name), record_function(function, input=normal(*a_shape), other=b))
    positive = normal(3, 4).abs() + 0.2
    fixture.add("pow/row", dict(op="pow"),
                record_function(lambda input, exponent: torch.pow(input, exponent), input=positive, exponent=normal(4)))
    for exponent in (0.0, 0.5, 1.0, 2.0, 3.0, -1.0):
        fixture.add(f"pow/scalar_{exponent:g}", dict(op="pow", exponent=exponent),
                    record_function(lambda input: torch.pow(input, exponent), input=positive))
    for case, a_shape, b_shape in [("2d", (3, 4), (4, 5)), ("batched", (2, 3, 4), (2, 4, 2)),
                                   ("broadcast", (2, 1, 3, 4), (3, 4, 2)), ("matrix_vector", (3, 4), (4,)),
                                   ("vector_matrix", (3,), (3, 4)), ("dot", (4,), (4,)),
                                   ("batched_vector", (2, 3, 4), (4,)), ("empty_inner", (3, 0), (0, 2))]:
        fixture.add(f"matmul/{case}", dict(op="matmul"),
                    record_function(torch.matmul, input=normal(*a_shape), other=normal(*b_shape)))
    return fixture


def reduction():
    fixture = Fixture()
    for case, shape, settings in [
        ("var/all", (3, 4), dict(dim=None, unbiased=True, keepdim=False)),
        ("var/dim", (3, 4), dict(dim=[1], unbiased=True, keepdim=False)),
        ("var/dims_keep", (2, 3, 4), dict(dim=[0, 2], unbiased=True, keepdim=True)),
        ("var/biased", (3, 4), dict(dim=[0], unbiased=False, keepdim=False)),
        ("sum/all", (3, 4), dict(dim=None, keepdim=False)),
        ("sum/dims", (2, 3, 4), dict(dim=[0, -1], keepdim=False)),
        ("mean/all", (3, 4), dict(dim=None, keepdim=False)),
        ("mean/dims_keep", (2, 3, 4), dict(dim=[1, 2], keepdim=True)),
    ]:
        function = getattr(torch, case.split("/")[0])
        arguments = dict(settings)
        if arguments["dim"] is None:
            arguments = {"unbiased": settings["unbiased"]} if "unbiased" in settings else {}
        fixture.add(case, settings, record_function(lambda x: function(x, **arguments), x=normal(*shape)))
    far = (normal(1000) + 1e4).to(F32)
    fixture.add("var/f32_far_from_zero", dict(dim=None, unbiased=True, keepdim=False),
                record_function(lambda x: torch.var(x, unbiased=True), x=far))

    zeros = normal(4, 5)
    zeros[1, 2] = zeros[2, 0] = zeros[2, 3] = 0.0
    fixture.add("prod/all", dict(dim=None, keepdim=False), record_function(torch.prod, input=normal(2, 3)))
    fixture.add("prod/zeros", dict(dim=[1], keepdim=False),
                record_function(lambda input: torch.prod(input, 1), input=zeros))

    ties = torch.tensor([[1., 3, 3, 0], [2, 2, 2, 2], [-1, -5, -2, -5]], dtype=F64)
    for name in ("max", "min"):
        function = getattr(torch, name)
        fixture.add(f"{name}/all_ties", dict(dim=None, keepdim=False), record_function(lambda x: function(x), x=ties))
        tensors = record_function(lambda x: function(x, 1).values, x=ties)
        tensors["indices"] = function(ties, 1).indices
        fixture.add(f"{name}/dim_ties", dict(dim=[1], keepdim=False), tensors)
    return fixture


# ---------------------------------------------------------------------------------------------- losses


def cross_entropy(fixture):
    n, c = 6, 5
    target = torch.tensor([0, 4, 2, 2, 1, 3])
    ignoring = torch.tensor([0, -100, 2, -100, 1, 3])
    weight = torch.tensor([0.2, 1.0, 0.0, 2.5, 0.7], dtype=F64)
    plain = dict(weight=False, ignore_index=-100, reduction="mean", label_smoothing=0.0)
    for case, labels, changes in [
        ("basic", target, {}),
        ("sum", target, dict(reduction="sum")),
        ("none", target, dict(reduction="none")),
        ("ignore_default", ignoring, {}),
        ("ignore_2", target, dict(ignore_index=2)),
        ("ignore_none", ignoring, dict(reduction="none")),
        ("ignore_sum", ignoring, dict(reduction="sum")),
        ("ignore_all", torch.full((n,), -100), {}),
        ("smoothing", target, dict(label_smoothing=0.1)),
        ("smoothing_sum", target, dict(label_smoothing=0.1, reduction="sum")),
        ("smoothing_none", target, dict(label_smoothing=0.1, reduction="none")),
        ("smoothing_ignore", ignoring, dict(label_smoothing=0.2)),
        ("smoothing_ignore_none", ignoring, dict(label_smoothing=0.2, reduction="none")),
        ("weight", target, dict(weight=True)),
        ("weight_sum", target, dict(weight=True, reduction="sum")),
        ("weight_none", target, dict(weight=True, reduction="none")),
        ("weight_smoothing", target, dict(weight=True, label_smoothing=0.1)),
        ("weight_smoothing_ignore", ignoring, dict(weight=True, label_smoothing=0.1)),
        ("weight_smoothing_ignore_none", ignoring, dict(weight=True, label_smoothing=0.1, reduction="none")),
    ]:
        settings = {**plain, **changes}
        loss = nn.CrossEntropyLoss(**{**settings, "weight": weight if settings["weight"] else None})
        tensors = record_function(lambda input: loss(input, labels), input=normal(n, c) * 2)
        fixture.add(f"cross_entropy/{case}", {"type": "CrossEntropyLoss", **settings},
                    {**tensors, "target": labels, **({"weight": weight} if settings["weight"] else {})})

    for case, shape, dtype, scale in [("positions", (2, 5, 3), F64, 1.0), ("image", (2, 4, 3, 2), F64, 1.0),
                                      ("large_logits", (4, 5), F64, 500.0), ("f32", (16, 10), F32, 2.0)]:
        labels = torch.randint(shape[1], (shape[0], *shape[2:]))
        tensors = record_function(lambda input: nn.CrossEntropyLoss()(input, labels),
                                  input=(normal(*shape) * scale).to(dtype))
        fixture.add(f"cross_entropy/{case}", {"type": "CrossEntropyLoss", **plain}, {**tensors, "target": labels})


def mse(fixture):
    for case, dtype, reduction in [("mean", F64, "mean"), ("sum", F64, "sum"), ("none", F64, "none"),
                                   ("f32", F32, "mean")]:
        loss = nn.MSELoss(reduction=reduction)
        fixture.add(f"mse/{case}", {"type": "MSELoss", "reduction": reduction},
                    record_function(lambda input, target: loss(input, target),
                                    input=normal(4, 3, dtype=dtype), target=normal(4, 3, dtype=dtype)))


def bce_with_logits(fixture):
    pos_weight = torch.tensor([0.5, 1.0, 3.0], dtype=F64)
    weight = torch.tensor([2.0, 0.0, 1.5], dtype=F64)
    extreme = torch.tensor([[0., 100, -100], [800, -800, 1e-9], [-0., 5, -5], [30, -30, 1]], dtype=F64)
    for case, logits, extra, reduction, dtype in [
        ("mean", normal(4, 3), {}, "mean", F64),
        ("sum", normal(4, 3), {}, "sum", F64),
        ("none", normal(4, 3), {}, "none", F64),
        ("extreme", extreme, {}, "none", F64),
        ("pos_weight", normal(4, 3), dict(pos_weight=pos_weight), "mean", F64),
        ("pos_weight_extreme", extreme, dict(pos_weight=pos_weight), "none", F64),
        ("weight", normal(4, 3), dict(weight=weight), "mean", F64),
        ("weight_pos_weight", normal(4, 3), dict(weight=weight, pos_weight=pos_weight), "sum", F64),
        ("f32", normal(4, 3), {}, "mean", F32),
    ]:
        target = torch.rand(4, 3, dtype=F64).to(dtype)
        target[:2] = target[:2].round()
        loss = nn.BCEWithLogitsLoss(reduction=reduction, **extra)
        tensors = record_function(lambda input: loss(input, target), input=logits.to(dtype))
        settings = {"type": "BCEWithLogitsLoss", "reduction": reduction,
                    "weight": "weight" in extra, "pos_weight": "pos_weight" in extra}
        fixture.add(f"bce_with_logits/{case}", settings, {**tensors, "target": target, **extra})


def loss():
    fixture = Fixture()
    cross_entropy(fixture)
    mse(fixture)
    bce_with_logits(fixture)
    return fixture


# -------------------------------------------------------------------------------------------- training


STEPS = 10


def optimizer_case(kind, settings, lr_of_step, start, grads, dtype):
    """Runs the optimizer over recorded gradients: values after each step, and the state that is left."""
    parameters = [leaf(p.to(dtype)) for p in start]
    optimizer = kind(parameters, **settings)
    values = [[] for _ in parameters]
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = lr_of_step(step)
        for parameter, grad in zip(parameters, grads):
            parameter.grad = grad[step].to(dtype)
        optimizer.step()
        for history, parameter in zip(values, parameters):
            history.append(parameter.detach().clone())
    tensors = {"lr": torch.tensor([lr_of_step(step) for step in range(STEPS)], dtype=F64)}
    for i, parameter in enumerate(parameters):
        tensors[f"start{i}"] = start[i].to(dtype)
        tensors[f"grads{i}"] = grads[i].to(dtype)
        tensors[f"values{i}"] = torch.stack(values[i])
        for name, state in optimizer.state[parameter].items():
            if torch.is_tensor(state) and state.shape == parameter.shape:
                tensors[f"{name}{i}"] = state
    return tensors


def optim():
    fixture = Fixture()
    start = [normal(3, 4), normal(5)]
    grads = [normal(STEPS, 3, 4), normal(STEPS, 5) * 0.1]
    grads[0][:, 0, 0] = 0.0  # an element that never gets a gradient: eps and decay alone act on it
    for case, kind, settings, dtype in [
        ("sgd/plain", torch.optim.SGD, dict(lr=0.1), F64),
        ("sgd/momentum", torch.optim.SGD, dict(lr=0.1, momentum=0.9), F64),
        ("sgd/dampening", torch.optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3), F64),
        ("sgd/nesterov", torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True), F64),
        ("sgd/weight_decay", torch.optim.SGD, dict(lr=0.1, weight_decay=0.05), F64),
        ("sgd/everything", torch.optim.SGD, dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05), F64),
        ("sgd/f32", torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.05), F32),
        ("adam/plain", torch.optim.Adam, dict(lr=0.01), F64),
        ("adam/settings", torch.optim.Adam, dict(lr=0.02, betas=[0.8, 0.95], eps=1e-3), F64),
        ("adam/weight_decay", torch.optim.Adam, dict(lr=0.01, weight_decay=0.1), F64),
        ("adam/amsgrad", torch.optim.Adam, dict(lr=0.01, amsgrad=True), F64),
        ("adam/everything", torch.optim.Adam, dict(lr=0.01, betas=[0.8, 0.9], weight_decay=0.1, amsgrad=True), F64),
        ("adam/f32", torch.optim.Adam, dict(lr=0.01), F32),
        ("adamw/plain", torch.optim.AdamW, dict(lr=0.01), F64),
        ("adamw/weight_decay", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.3), F64),
        ("adamw/no_decay", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.0), F64),
        ("adamw/amsgrad", torch.optim.AdamW, dict(lr=0.01, amsgrad=True), F64),
        ("adamw/f32", torch.optim.AdamW, dict(lr=0.01), F32),
    ]:
        tensors = optimizer_case(kind, settings, lambda step: settings["lr"], start, grads, dtype)
        fixture.add(case, {"type": kind.__name__, **settings}, tensors)
    for case, kind, settings in [
        ("sgd/changing_lr", torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
        ("adam/changing_lr", torch.optim.Adam, dict(lr=0.1)),
        ("adamw/changing_lr", torch.optim.AdamW, dict(lr=0.1)),
    ]:
        tensors = optimizer_case(kind, settings, lambda step: 0.1 * 0.7 ** step, start, grads, F64)
        fixture.add(case, {"type": kind.__name__, **settings}, tensors)
    return fixture


def scaled_case(kind, settings, scaling, max_norm, start, steps):
    """Training with a GradScaler whose gradients overflow now and then: scale, growth and values after each step."""
    parameters = [leaf(p.to(F32)) for p in start]
    optimizer = kind(parameters, **settings)
    scaler = torch.amp.GradScaler("cpu", **scaling)
    scaler.scale(torch.zeros(()))  # it makes its tensors here
    kept = {"scale": [], "growth_tracker": []}
    grads, values = [[] for _ in parameters], [[] for _ in parameters]
    for step in range(steps):
        for i, parameter in enumerate(parameters):
            grad = (normal(*parameter.shape) * scaler.get_scale()).to(F32)
            if i == 0 and step in (0, 1, 7, 16):
                grad[1, 2] = math.inf if step % 2 else math.nan
            grads[i].append(grad.clone())
            parameter.grad = grad
        if max_norm:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, max_norm)
        scaler.step(optimizer)
        scaler.update()
        kept["scale"].append(scaler.get_scale())
        kept["growth_tracker"].append(scaler._growth_tracker.item())
        for history, parameter in zip(values, parameters):
            history.append(parameter.detach().clone())
    tensors = {name: torch.tensor(numbers, dtype=F64) for name, numbers in kept.items()}
    for i in range(len(parameters)):
        tensors[f"start{i}"] = start[i].to(F32)
        tensors[f"grads{i}"] = torch.stack(grads[i])
        tensors[f"values{i}"] = torch.stack(values[i])
    return tensors


def grad_scaler():
    fixture = Fixture()
    start = [normal(3, 4), normal(5)]
    often = dict(init_scale=1024.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=3)
    odd = dict(init_scale=100.0, growth_factor=1.7, backoff_factor=0.3, growth_interval=2)
    large = dict(init_scale=1e38, growth_factor=4.0, backoff_factor=0.5, growth_interval=1)  # it cannot grow on
    for case, kind, settings, scaling, max_norm in [
        ("sgd/momentum", torch.optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3), often, None),
        ("sgd/clipped", torch.optim.SGD, dict(lr=0.1), odd, 1.5),
        ("sgd/large", torch.optim.SGD, dict(lr=0.1), large, None),
        ("adam/plain", torch.optim.Adam, dict(lr=0.01), often, None),
        ("adamw/clipped", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.3), often, 0.7),
    ]:
        tensors = scaled_case(kind, settings, scaling, max_norm, start, 24)
        fixture.add(case, {"optimizer": {"type": kind.__name__, **settings}, "scaler": scaling, "max_norm": max_norm},
                    tensors)
    return fixture


def lr_values(steps, lr, make):
    """The learning rate that PyTorch's scheduler gives to each of `steps` steps, the first one included."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(values, dtype=F64)


def warmup_cosine(warmup, total, min_lr, ramp):
    """Linear warm-up, then cosine to `min_lr` at step `total`. `ramp` is LinearLR's total_iters."""
    def make(optimizer):
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=ramp)
        fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=min_lr)
        return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warmup])
    return make


def schedule():
    fixture = Fixture()
    lr = 0.4

    def add(case, settings, steps, make):
        fixture.add(case, {"lr": lr, **settings}, {"lr": lr_values(steps, lr, make)})

    for step_size, gamma in [(1, 0.9), (3, 0.5), (5, 0.1)]:
        add(f"step/{step_size}", dict(type="StepLR", step_size=step_size, gamma=gamma), 20,
            lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=step_size, gamma=gamma))
    add("multi_step", dict(type="MultiStepLR", milestones=[4, 9, 10], gamma=0.3), 15,
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, milestones=[4, 9, 10], gamma=0.3))
    add("exponential", dict(type="ExponentialLR", gamma=0.8), 12,
        lambda optimizer: lr_scheduler.ExponentialLR(optimizer, gamma=0.8))
    for total, min_lr in [(20, 0.0), (20, 0.01), (7, 0.0)]:
        add(f"cosine/{total}_{min_lr:g}", dict(type="CosineAnnealingLR", T_max=total, eta_min=min_lr), total + 1,
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=total, eta_min=min_lr))
    for case, warmup, total, min_lr, ramp in [("warmup_cosine/reaches_at_warmup", 5, 25, 0.01, 5),
                                              ("warmup_cosine/reaches_before", 5, 25, 0.01, 4),
                                              ("warmup_cosine/long", 10, 40, 0.0, 9)]:
        add(case, dict(type="SequentialLR(LinearLR, CosineAnnealingLR)", warmup=warmup, total=total, eta_min=min_lr,
                       start_factor=1 / warmup, total_iters=ramp), total + 1,
            warmup_cosine(warmup, total, min_lr, ramp))
    return fixture


def clip():
    fixture = Fixture()
    for case, max_norm, norm_type, scale, dtype in [
        ("clips", 1.0, 2.0, 1.0, F64),
        ("below_limit", 100.0, 2.0, 1.0, F64),
        ("tiny", 1.0, 2.0, 1e-12, F64),
        ("norm1", 2.0, 1.0, 1.0, F64),
        ("norm_inf", 0.5, math.inf, 1.0, F64),
        ("f32", 1.0, 2.0, 3.0, F32),
    ]:
        parameters = [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((3, 4), (5,), (2, 2, 2))]
        tensors = {}
        for i, parameter in enumerate(parameters):
            parameter.grad = (normal(*parameter.shape) * scale).to(dtype)
            tensors[f"grad{i}"] = parameter.grad.clone()
        tensors["norm"] = nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
        tensors.update({f"clipped{i}": parameter.grad for i, parameter in enumerate(parameters)})
        fixture.add(case, dict(max_norm=max_norm, norm_type=str(norm_type)), tensors)
    return fixture


def training_case(model, loss, optimizer, batches):
    """Trains on `batches`; the first and last state_dict, every loss, and the outputs in eval mode afterwards."""
    tensors = {f"start/{key}": value.clone() for key, value in model.state_dict().items()}
    losses = []
    model.train()
    for x, target in batches:
        optimizer.zero_grad()
        value = loss(model(x), target)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    tensors["losses"] = torch.stack(losses)
    tensors.update({f"end/{key}": value.clone() for key, value in model.state_dict().items()})
    model.eval()
    tensors["x"] = torch.stack([x for x, _ in batches])
    tensors["target"] = torch.stack([target for _, target in batches])
    tensors["y_eval"] = model(batches[0][0])
    return tensors


def training():
    """Whole small training runs: layers, loss and optimizer together."""
    fixture = Fixture()
    torch.set_default_dtype(F64)
    model = nn.Sequential(nn.Linear(1, 1))
    x = [normal(16, 1) for _ in range(20)]
    fixture.add("regression", dict(layers=["Linear(1, 1)"], loss="MSELoss", optimizer={"type": "SGD", "lr": 0.1}),
                training_case(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1),
                              [(v, 3 * v - 2) for v in x]))

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    settings = dict(lr=0.05, momentum=0.9)
    fixture.add("mlp", dict(layers=["Linear(8, 16)", "ReLU", "Linear(16, 4)"], loss="CrossEntropyLoss",
                            optimizer={"type": "SGD", **settings}),
                training_case(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), **settings),
                              [(normal(12, 8), torch.randint(4, (12,))) for _ in range(10)]))

    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(27, 4))
    settings = dict(lr=0.01, weight_decay=0.1)
    # No bias before BatchNorm: its gradient is rounding error, which Adam would blow up.
    fixture.add("cnn", dict(layers=["Conv2d(1, 3, 3, padding=1, bias=False)", "BatchNorm2d(3)", "ReLU", "MaxPool2d(2)",
                                    "Flatten", "Linear(27, 4)"], loss="CrossEntropyLoss",
                            optimizer={"type": "AdamW", **settings}),
                training_case(model, nn.CrossEntropyLoss(), torch.optim.AdamW(model.parameters(), **settings),
                              [(normal(6, 1, 6, 6), torch.randint(4, (6,))) for _ in range(8)]))
    torch.set_default_dtype(F32)
    return fixture


# ------------------------------------------------------------------------------ dtypes and broadcasting


def dtype_of(function):
    """The short dtype name of `function()`, or None where PyTorch refuses the operation."""
    try:
        return SHORT_NAME[function().dtype]
    except RuntimeError:
        return None


def promotion():
    """Result dtypes. A matrix has a row for the left dtype and a column for the right one."""
    operations = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
                  "eq": torch.eq, "lt": torch.lt}
    scalars = {"bool": True, "int": 1, "float": 1.0}

    def matrix(function, left, right):
        return [[dtype_of(lambda: function(a, b)) for b in right] for a in left]

    vectors = [torch.ones(2, dtype=dtype) for dtype in DTYPES.values()]
    zero_dims = [torch.ones((), dtype=dtype) for dtype in DTYPES.values()]
    tables = []
    for name, function in operations.items():
        tables += [
            {"op": name, "left": "tensor", "right": "tensor", "result": matrix(function, vectors, vectors)},
            {"op": name, "left": "tensor", "right": "zero_dim", "result": matrix(function, vectors, zero_dims)},
            {"op": name, "left": "tensor", "right": "scalar", "result": matrix(function, vectors, scalars.values())},
            {"op": name, "left": "zero_dim", "right": "scalar",
             "result": matrix(function, zero_dims, scalars.values())},
        ]
    tables.append({"op": "rsub", "left": "tensor", "right": "scalar",
                   "result": matrix(torch.rsub, vectors, scalars.values())})
    tables.append({"op": "add_", "left": "tensor", "right": "tensor",
                   "result": matrix(lambda a, b: a.clone().add_(b), vectors, vectors)})
    tables.append({"op": "where", "left": "tensor", "right": "tensor",
                   "result": matrix(lambda a, b: torch.where(torch.tensor([True, False]), a, b), vectors, vectors)})
    tables.append({"op": "cat", "left": "tensor", "right": "tensor",
                   "result": matrix(lambda a, b: torch.cat([a, b]), vectors, vectors)})

    unary = []
    for name in ("sum", "prod", "mean", "var", "max", "argmax", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "sin",
                 "cos", "tanh", "sigmoid", "relu"):
        function = getattr(torch, name)
        unary.append({"op": name, "result": [dtype_of(lambda: function(x)) for x in vectors]})

    shapes = [[], [1], [3], [4], [1, 4], [3, 1], [3, 4], [2, 1, 4], [2, 3, 1], [0], [1, 0], [2, 0, 4]]
    broadcast = []
    for a, b in itertools.product(shapes, shapes):
        try:
            result = list(torch.broadcast_shapes(a, b))
        except RuntimeError:
            result = None
        broadcast.append({"a": a, "b": b, "result": result})
    return {"torch": torch.__version__, "dtypes": list(DTYPES), "scalars": list(scalars), "binary": tables,
            "unary": unary, "broadcast": broadcast}


# -------------------------------------------------------------------------------------------- printing


def json_number(value):
    """JSON has no nan and no infinities: they are written as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def printed(name, tensor, requires_grad=False):
    """One printing case: what to build, and PyTorch's text of it."""
    values = [json_number(value) for value in tensor.flatten().tolist()]
    shown = tensor.detach().clone().requires_grad_(requires_grad)
    return {"name": name, "dtype": SHORT_NAME[tensor.dtype], "shape": list(tensor.shape),
            "requires_grad": requires_grad, "values": values, "text": repr(shown)}


def fixed_printing_cases():
    nan, inf = math.nan, math.inf

    def t(values, dtype=F32):
        return torch.tensor(values, dtype=dtype)

    tensors = {
        "float": t([1.0, 2.5, -3.25]), "float_whole": t([1.0, 2.0, 30.0]), "float_whole_negative": t([-1.0, 2.0]),
        "float_zero": t([0.0, 0.0]), "float_negative_zero": t([-0.0, 0.0]),
        "float_rounding": t([0.12345, 0.00005, 9.99995]),
        "float_thirds": t([1 / 3, 2 / 3, 1.0]), "float_wide": t([1.5, 1234.5]), "float_six_digits": t([123456.5, 1.0]),
        "mixed_magnitudes": t([1e-4, 1.0, 999.0]), "ratio_1000": t([0.1, 100.0]), "ratio_above_1000": t([0.01, 11.5]),
        "scientific_small": t([1e-10, 1.0]), "scientific_tiny": t([1e-5, 2e-5]), "scientific_large": t([1e10, 1.5]),
        "scientific_huge": t([1e38, -1e38]), "scientific_denormal": t([1e-42, 1.5e-42]), "large_whole": t([1e8, 2e8]),
        "large_whole_1e9": t([1e9, 1.0]), "max_whole": t([99999999.0, 1.0]), "half_steps_large": t([1e6 + 0.5, 0.5]),
        "nan": t([nan, 1.0]), "inf": t([inf, -inf, 1.5]), "only_nan": t([nan, nan]), "only_inf": t([inf, -inf]),
        "nan_whole": t([nan, 1.0, 20.0]), "inf_whole": t([inf, 1.0]), "nan_scientific": t([nan, 1e-9, 1.0]),
        "nan_zero_dim": t(nan), "inf_zero_dim": t(-inf),
        "zero_dim": t(3.0), "zero_dim_fraction": t(-0.12345678), "zero_dim_small": t(1e-7),
        "zero_dim_large": t(1.23456e9),
        "zero_dim_f64": t(0.1, F64), "zero_dim_i64": t(7, torch.int64), "zero_dim_i32": t(-7, torch.int32),
        "zero_dim_bool": t(True, torch.bool), "zero_dim_u8": t(255, torch.uint8),
        "f64": t([1.0, 2.5], F64), "f64_digits": t([math.pi, math.e], F64), "f64_scientific": t([1e-300, 1.0], F64),
        "f64_huge": t([1.7976931348623157e308, 1.0], F64),
        "f16": t([0.1, 2.5], torch.float16), "bf16": t([0.1, 2.5], torch.bfloat16),
        "i64": t([1, 2, 3], torch.int64), "i64_negative": t([-1, 20, -300], torch.int64),
        "i64_extremes": t([-2**63, 2**63 - 1, 0], torch.int64), "i32": t([1, -2], torch.int32),
        "u8": t([0, 255], torch.uint8), "bool": t([True, False], torch.bool),
        "bool_matrix": t([[True], [False]], torch.bool),
        "i64_matrix": t([[1, 20], [300, -4]], torch.int64),
        "empty": t([]), "empty_i64": t([], torch.int64), "empty_bool": t([], torch.bool), "empty_f64": t([], F64),
        "empty_0x3": torch.zeros(0, 3), "empty_2x0": torch.zeros(2, 0),
        "empty_2x0_i64": torch.zeros(2, 0, dtype=torch.int64),
        "empty_1x0x4": torch.zeros(1, 0, 4), "empty_i32": t([], torch.int32),
        "matrix": t([[1.0, -2.0], [3.5, 4.25]]), "matrix_mixed": t([[1e-8, 1.0], [2.0, 3.0]]),
        "one_by_one": t([[5.0]]), "column": t([[1.0], [2.0], [3.0]]),
        "three_dims": torch.arange(24.).reshape(2, 3, 4), "four_dims": torch.arange(16).reshape(2, 2, 2, 2) - 8,
        "three_dims_f64": (torch.arange(12, dtype=F64) / 7).reshape(2, 3, 2),
        "five_dims": torch.arange(4.).reshape(1, 2, 1, 2, 1),
        "wrap_int": torch.arange(60), "wrap_int_negative": torch.arange(50) - 25, "wrap_float": torch.arange(40.) / 8,
        "wrap_bool": torch.arange(30) % 3 == 0, "wrap_matrix": (torch.arange(60.) / 4).reshape(2, 30),
        "wrap_scientific": torch.logspace(-6, 6, 20), "wrap_three_dims": torch.arange(80).reshape(2, 2, 20),
        "exactly_1000": torch.arange(1000), "above_1000": torch.arange(1001),
        "above_1000_float": torch.arange(1100.) / 4,
        "summary_matrix": torch.arange(1600.).reshape(40, 40), "summary_wide": torch.arange(1200).reshape(1, 1200),
        "summary_tall": torch.arange(1200.).reshape(1200, 1),
        "summary_three_dims": torch.arange(1400).reshape(14, 10, 10),
        "summary_short_dims": torch.arange(1400).reshape(4, 7, 50), "summary_six": torch.arange(1200).reshape(6, 200),
        "summary_bool": torch.arange(1200) % 2 == 0, "summary_f64": (torch.arange(1200, dtype=F64) - 600) / 8,
        "summary_hides_large": torch.cat([torch.ones(600), torch.full((1,), 1e10), torch.ones(600)]),
        "summary_i32": (torch.arange(1200, dtype=torch.int32) - 1).reshape(30, 40),
        "summary_four_dims": torch.arange(1296).reshape(8, 2, 9, 9),
    }
    cases = [printed(name, tensor) for name, tensor in tensors.items()]
    for name in ("float", "f64", "matrix", "zero_dim", "empty_0x3", "wrap_float", "wrap_matrix", "summary_matrix",
                 "three_dims_f64"):
        cases.append(printed(f"{name}_requires_grad", tensors[name], requires_grad=True))
    for count in range(7, 13):  # suffixes that do and do not fit behind the last line
        cases.append(printed(f"suffix_line_{count}", torch.arange(count) / 8, requires_grad=True))
        cases.append(printed(f"suffix_line_{count}_f64", torch.arange(count, dtype=F64) / 8, requires_grad=True))
    return cases


def random_printing_cases(count):
    """Random tensors: sizes, scales and spreads that nobody would think of."""
    rng = random.Random(5)
    cases = []
    for i in range(count):
        shape = [rng.choice([1, 2, 3, 5, 11]) for _ in range(rng.randint(0, 3))]
        dtype = rng.choice([F32, F32, F32, F64, torch.int64, torch.int32])
        scale = 10.0 ** rng.randint(-9, 9)
        spread = rng.choice([0, 1, 2, 4])
        values = torch.randn(shape, dtype=F64) * scale * 10.0 ** (spread * torch.randn(shape, dtype=F64))
        if not dtype.is_floating_point:
            values = values.clamp(-2e9, 2e9)
        if rng.random() < 0.3:
            values = values.round()
        cases.append(printed(f"random_{i}", values.to(dtype), requires_grad=dtype.is_floating_point and i % 7 == 0))
    return cases


def graph_printing_cases():
    """Results of an operation: PyTorch names the node instead of requires_grad."""
    cases = []
    for op in ("sin", "exp", "relu"):
        x = torch.tensor([0.5, -1.0, 2.0])
        case = printed(f"grad_fn_{op}", x)
        cases.append({**case, "op": op, "text": repr(getattr(torch, op)(leaf(x)))})
    return cases


def printing():
    return {"torch": torch.__version__, "cases": fixed_printing_cases() + random_printing_cases(150),
            "graph_cases": graph_printing_cases()}


# ------------------------------------------------------------------------------------------------ main


FAMILIES = {"linear": linear, "conv2d": conv2d, "pool": pool, "norm": norm, "activation": activation,
            "binary": binary, "reduction": reduction, "loss": loss, "optim": optim, "schedule": schedule,
            "clip": clip, "training": training, "grad_scaler": grad_scaler}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests" / "fixtures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # one order of summation on every machine
    for name, family in FAMILIES.items():
        if name == "grad_scaler" and not hasattr(torch.amp, "GradScaler"):
            continue  # for CPUs from PyTorch 2.3 on
        torch.manual_seed(1)  # per family, so that a change in one leaves the others as they are
        save(out / f"{name}.safetensors", family())
    table = promotion()
    save_json(out / "promotion.json", table, len(table["binary"]) + len(table["unary"]) + len(table["broadcast"]))
    torch.manual_seed(1)
    table = printing()
    save_json(out / "printing.json", table, len(table["cases"]) + len(table["graph_cases"]))


if __name__ == "__main__":
    main()
