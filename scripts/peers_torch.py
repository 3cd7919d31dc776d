"""The PyTorch side of ``compare_peers.py --deep``: rounds of D-SGD, one node after the other, by autograd.

Usage: PYTHON scripts/peers_torch.py CASE FILE.npz ROUNDS

Needs PyTorch and NumPy alone, so that it can run in an environment without JAX. The file has the samples, the weights W and
the initial models of all nodes, and what jaxgossip computes from them: losses, gradients, and the models after one round.
Prints one JSON object: the seconds of the fastest round, with as many threads as are fastest, and how far the two are apart.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import vector_to_parameters

Leaves = Mapping[str, np.ndarray]
"""Our parameters of all nodes (n, …), by their names."""


class Block(nn.Module):
    """A block of attention and of a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm0, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations (b, t, c)."""
        b, t, c = x.shape
        parts = self.qkv(self.norm0(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, c))
        return x + self.narrow(functional.gelu(self.wide(self.norm1(x)), approximate="tanh"))


class GPT(nn.Module):
    """A small causal transformer."""

    def __init__(self, tokens: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding, self.places = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm, self.dense = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (b, t, tokens)."""
        x = self.embedding(x) + self.places.weight
        for block in self.blocks:
            x = block(x)
        return self.dense(self.norm(x))


def cnn(side: int, colours: int) -> nn.Module:
    """Return a network of two convolutions with mean pooling."""
    layers: list[nn.Module] = []
    for before, after in ((colours, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, 10))


def gn_lenet() -> nn.Module:
    """Return a network of three convolutions with group normalisation and max pooling."""
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 5, padding=2), nn.GroupNorm(2, after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 10))


def of_cnn(leaves: Leaves) -> list[np.ndarray]:
    """Return our parameters, or gradients, in the order and the layout of the module's own."""
    kernels = [leaves[f"k{layer}"].transpose(0, 1, 4, 2, 3) for layer in range(2)]
    return [kernels[0], leaves["c0"], kernels[1], leaves["c1"], leaves["w0"], leaves["b0"]]


def of_gn_lenet(leaves: Leaves) -> list[np.ndarray]:
    """Return our parameters, or gradients, in the order and the layout of the module's own."""
    found = []
    for layer in range(3):
        found.append(leaves[f"conv{layer}.kernel"].transpose(0, 4, 3, 1, 2))
        found += [leaves[f"conv{layer}.bias"], leaves[f"norm{layer}.scale"], leaves[f"norm{layer}.bias"]]
    dense = leaves["dense.kernel"]
    by_place = dense.reshape(len(dense), 4, 4, 64, 10)  # ours has channels last
    return [*found, by_place.transpose(0, 4, 3, 1, 2), leaves["dense.bias"]]


def of_gpt(leaves: Leaves) -> list[np.ndarray]:
    """Return our parameters, or gradients, in the order and the layout of the module's own."""

    def dense(name: str) -> list[np.ndarray]:
        return [leaves[f"{name}.kernel"].swapaxes(1, 2), leaves[f"{name}.bias"]]

    def norm(name: str) -> list[np.ndarray]:
        return [leaves[f"{name}.scale"], leaves[f"{name}.bias"]]

    found = [leaves["embedding"], leaves["places"]]
    for block in ("block0", "block1"):
        found += [*norm(f"{block}.norm0"), *dense(f"{block}.attention.qkv"), *dense(f"{block}.attention.out")]
        found += [*norm(f"{block}.norm1"), *dense(f"{block}.wide"), *dense(f"{block}.narrow")]
    return [*found, *norm("norm"), *dense("dense")]


class Case(NamedTuple):
    """A module, and the function that brings our parameters into its layout."""

    module: Callable[[], nn.Module]
    layout: Callable[[Leaves], list[np.ndarray]]

    def rows(self, leaves: Leaves) -> Tensor:
        """Return our parameters of all nodes as rows (n, p) in the module's layout."""
        parts = self.layout(leaves)
        return torch.from_numpy(np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1))


CASES: Mapping[str, Case] = {
    "cnn_32": Case(lambda: cnn(32, 3), of_cnn),
    "cnn_28": Case(lambda: cnn(28, 1), of_cnn),
    "gn_lenet": Case(gn_lenet, of_gn_lenet),
    "gpt": Case(lambda: GPT(65, 64, 64, 2, 4), of_gpt),
}


class Network:
    """Models of all nodes as rows of one tensor, and their samples.

    Args:
        module: a module, through which the models of all nodes are computed.
        x: (n, b, …) samples.
        y: (n, b, …) classes or tokens.
        W: (n, n) sparse weights.
        learning_rate: η.
    """

    def __init__(self, module: nn.Module, x: Tensor, y: Tensor, W: Tensor, learning_rate: float) -> None:
        self.module, self.x, self.y, self.W, self.learning_rate = module, x, y, W, learning_rate
        self.parameters = list(module.parameters())

    def gradient(self, row: Tensor, node: int) -> tuple[float, Tensor]:
        """Return the loss of a node's samples at a model (p,), and its gradient (p,)."""
        vector_to_parameters(row, self.parameters)
        scores = self.module(self.x[node])
        loss = functional.cross_entropy(scores.flatten(0, -2), self.y[node].flatten())
        return loss.item(), torch.cat([part.flatten() for part in torch.autograd.grad(loss, self.parameters)])

    def round(self, models: Tensor) -> Tensor:
        """Return W (X − η G(X))."""
        adapted = torch.empty_like(models)
        for node, row in enumerate(models):
            adapted[node] = row - self.learning_rate * self.gradient(row, node)[1]
        return torch.sparse.mm(self.W, adapted)


def measured(name: str, path: Path, rounds: int) -> dict[str, Any]:
    """Return the seconds of the fastest round, and how far what is computed is from what jaxgossip computes.

    Args:
        name: name of the case.
        path: the file with samples, weights, models, and what jaxgossip computes.
        rounds: number of rounds to time, with one thread and with as many as PyTorch takes.
    """
    with np.load(path) as file:
        given = dict(file)
    case, x = CASES[name], torch.from_numpy(given["x"])
    start, gradients, after = (case.rows(_leaves(given, kind)) for kind in ("start", "gradient", "after"))
    x = x if name == "gpt" else x.permute(0, 1, 4, 2, 3).contiguous()
    n = len(start)
    links, weights = torch.from_numpy(given["links"]), torch.from_numpy(given["weights"])
    W = torch.sparse_coo_tensor(links, weights, (n, n), check_invariants=True).coalesce()
    y = torch.from_numpy(given["y"]).long()
    network = Network(case.module(), x, y, W, float(given["learning_rate"]))
    found = [network.gradient(row, node) for node, row in enumerate(start)]
    models = network.round(start)
    apart = {
        "loss": _apart(torch.tensor([loss for loss, _ in found]), torch.from_numpy(given["losses"])),
        "gradient": _apart(torch.stack([gradient for _, gradient in found]), gradients),
        "models": _apart(models, after),
    }
    seconds, usual = {}, torch.get_num_threads()
    for threads in {1, usual}:  # several threads for one small model may only be overhead
        torch.set_num_threads(threads)
        seconds[threads] = min(_seconds(network, start) for _ in range(rounds))
    torch.set_num_threads(usual)
    fastest = min(seconds, key=lambda threads: seconds[threads])
    return {"version": torch.__version__, "threads": fastest, "seconds": seconds[fastest], "apart": apart}


def _seconds(network: Network, models: Tensor) -> float:
    began = time.perf_counter()
    network.round(models)
    return time.perf_counter() - began


def _leaves(given: Leaves, kind: str) -> Leaves:
    return {name.removeprefix(f"{kind}."): leaf for name, leaf in given.items() if name.startswith(f"{kind}.")}


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """Return the median over nodes of the norm of the difference, relative to that of the values."""
    # Not the largest: among the activations of many nodes some are within rounding of a kink, where the gradient jumps.
    ours, theirs = (values.reshape(len(values), -1) for values in (ours, theirs))
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).median())


if __name__ == "__main__":
    case_name, file_name, count = sys.argv[1:]
    print(json.dumps(measured(case_name, Path(file_name), int(count))))
