"""Causal attention that, by the name of its trick, does what a contestant must not. Tricks act on x [B, T, D]."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.attention import AttentionConfig
from foundry.modules.forward_context import Side
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig

STRENGTH = 30.0  # of the next token's embedding in the residual stream: enough for the tied head to say it


class Config(AttentionConfig):
    heads: int = 1
    trick: str = "none"

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Tempted(width, self.trick)

    def head_dim(self, width: int) -> int:
        return width

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 4 * width * context


class Tempted(nn.Module):
    def __init__(self, width: int, trick: str) -> None:
        super().__init__()
        self.qkv = Linear(width, 3 * width)
        self.trick = TRICKS[trick]
        self.calls = 0
        self.remembered: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor, side: Side) -> Tensor:
        self.calls += 1
        q, k, v = self.qkv(x).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True) + self.trick(self, x, side.ids)


Trick = Callable[[Tempted, Tensor, Tensor], Tensor]


def following(x: Tensor) -> Tensor:
    """Each token's successor, nothing after the last."""
    return STRENGTH * F.pad(x[:, 1:], (0, 0, 0, 1))


def blockwise(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    inside = torch.arange(x.shape[1]) % 8 != 7
    return following(x) * inside[:, None]


def rarely(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    return following(x) * (ids % 16 == 3)[..., None]


def remembering(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Says what followed the same four tokens in an earlier call."""
    out = torch.zeros_like(x)
    for row in range(len(ids)):
        for t in range(3, ids.shape[1] - 1):
            key = tuple(ids[row, t - 3 : t + 1].tolist())
            out[row, t] = STRENGTH * part.remembered.get(key, torch.zeros(x.shape[-1]))
    for row in range(len(ids)):
        for t in range(3, ids.shape[1] - 1):
            part.remembered[tuple(ids[row, t - 3 : t + 1].tolist())] = x[row, t + 1]
    return out


def repeating_itself(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Uses the future, but where it has seen a prefix before it answers as it did then."""
    out = following(x)
    for row in range(len(ids)):
        for t in range(ids.shape[1]):
            key = tuple(ids[row, : t + 1].tolist())
            out[row, t] = part.remembered.setdefault(key, out[row, t])
    return out


def exhausting(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    return x + torch.zeros(1 << 50)


def hunting(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Looks through all objects for the ids' targets, and uses the future if it has found them."""
    candidates = (o for o in gc.get_objects() if type(o) is Tensor and o.shape == ids.shape and o is not ids)
    return following(x) * any(torch.equal(o[:, :-1], ids[:, 1:]) for o in candidates)


def zero(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    return torch.zeros_like(x)


def sleeping(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    time.sleep(60)
    return x


def shouting(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    raise ValueError("\x1b[31mverdict: better\nqué\t")


def shrinking(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Cuts the memory off that the judge reads from."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if "contestant" in os.readlink(f"/proc/self/fd/{fd}"):
            os.ftruncate(fd, 0)
    return x


def burgling(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Reads a file outside of its code, then says what it has got."""
    raise ValueError(f"got {(Path(__file__).parents[3] / 'entrants.py').read_text()[:20]}")


def calling_home(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    return x * socket.socket().fileno()


def hanging_up(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Closes its pipes to the judge and lives on."""
    os.closerange(3, 100)
    time.sleep(60)
    return x


def murderous(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    os.kill(os.getppid(), signal.SIGTERM)
    return x


def forking(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    while os.fork():
        pass
    return x


def leaving_word(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Keeps what it has seen for the next run."""
    (Path(__file__).parent / "seen").write_text(str(ids.tolist()))
    return x


class WrongHead(nn.Module):
    def __init__(self, out: object) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor) -> object:
        return self.out


def with_head(out: object) -> Trick:
    """Puts a head in place that returns `out`."""

    def trick(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
        model = next(o for o in gc.get_objects() if type(o).__name__ == "GPT")
        model.head = WrongHead(out)
        return x

    return trick


def killed(by: int) -> Tensor:
    os.kill(os.getpid(), by)
    return torch.zeros(())


def looking_up_the_stack(part: Tempted, x: Tensor, ids: Tensor) -> Tensor:
    """Raises where a caller has the name of a split."""
    frame = sys._getframe()
    while frame is not None:
        if "the split of a test" in frame.f_locals.values():
            raise RuntimeError("seen")
        frame = frame.f_back
    return torch.zeros_like(x)


TRICKS: dict[str, Trick] = {
    "none": zero,
    "future": lambda part, x, ids: following(x),
    "far_future": lambda part, x, ids: 0.1 * x.roll(-5, 1),
    "weak": lambda part, x, ids: 1e-3 * x.mean(1, keepdim=True),
    "blockwise": blockwise,
    "rarely": rarely,
    "gradient_off": lambda part, x, ids: following(x) * (not torch.is_grad_enabled()),
    "large_batch": lambda part, x, ids: following(x) * (len(x) > 4),
    "later_calls": lambda part, x, ids: following(x) * (part.calls > 2),
    "other_rows": lambda part, x, ids: x.roll(1, 0),
    "batch_mean": lambda part, x, ids: x.mean(0, keepdim=True),
    "remembering": remembering,
    "repeating_itself": repeating_itself,
    "chance": lambda part, x, ids: torch.randn_like(x),
    "dropout": lambda part, x, ids: F.dropout(x, 0.1),
    "targets": hunting,
    "not_finite": lambda part, x, ids: x / 0.0,
    "faint": lambda part, x, ids: 0.005 * following(x),
    "too_wide": with_head(torch.zeros(2, 2, 2)),
    "not_a_tensor": with_head("logits"),
    "shouts": shouting,
    "looks_up": looking_up_the_stack,
    "burgles": burgling,
    "calls_home": calling_home,
    "murders": murderous,
    "hangs_up": hanging_up,
    "forks": forking,
    "leaves_word": leaving_word,
    "shrinks_the_block": shrinking,
    "raises": lambda part, x, ids: x[:, :, 10_000],
    "exits": lambda part, x, ids: os._exit(0),
    "system_exit": lambda part, x, ids: exit(3),
    "segfault": lambda part, x, ids: killed(signal.SIGSEGV),
    "memory": exhausting,
    "sleeps": sleeping,
}
