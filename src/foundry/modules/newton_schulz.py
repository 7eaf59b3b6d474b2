"""Matrices made semi-orthogonal by Newton–Schulz iteration, batched by shape: what Muon is made of.

Shapes: n matrices in a batch, m rows, k ≥ m columns. May not: look at names, keep state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at 0, singular values end within about 0.7 to 1.2


def orthogonal_by_shape(matrices: Sequence[Tensor], iterations: int) -> list[Tensor]:
    """`orthogonal` of each [..., rows, columns]; those of one shape, or its transpose, in one batch. New tensors."""
    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, matrix in enumerate(matrices):
        m, k = sorted(matrix.shape[-2:])
        batches[m, k].append(i)
    made = list(matrices)
    for (m, k), places in batches.items():
        tall = [matrices[i].shape[-2] > m for i in places]
        wide = [matrices[i].mT if turned else matrices[i] for i, turned in zip(places, tall, strict=True)]
        flat = [matrix.reshape(-1, m, k) for matrix in wide]
        done_nmk = orthogonal(torch.cat(flat), iterations).to(matrices[places[0]].dtype)
        for i, turned, part in zip(places, tall, done_nmk.split([len(part) for part in flat]), strict=True):
            made[i] = (part.mT if turned else part).reshape(matrices[i].shape)
    return made


def orthogonal(x_nmk: Tensor, iterations: int) -> Tensor:
    """Singular values brought near 1, singular vectors kept: about u vᵀ of x = u s vᵀ. bf16 on CUDA, else x's."""
    if x_nmk.is_cuda:
        x_nmk = x_nmk.bfloat16()  # errors don't add up: each iteration corrects the one before
    x_nmk = x_nmk / (torch.linalg.vector_norm(x_nmk, dim=(-2, -1), keepdim=True) + 1e-7)
    m, k = x_nmk.shape[-2:]
    return _by_gram(x_nmk, iterations) if k >= 2 * m and not x_nmk.is_cuda else _directly(x_nmk, iterations)


def _directly(x_nmk: Tensor, iterations: int) -> Tensor:
    """x → a x + (b x xᵀ + c (x xᵀ)²) x, again and again."""
    a, b, c = QUINTIC
    for _ in range(iterations):
        gram_nmm = x_nmk @ x_nmk.mT
        factor_nmm = torch.baddbmm(gram_nmm, gram_nmm, gram_nmm, beta=b, alpha=c)
        x_nmk = torch.baddbmm(x_nmk, factor_nmm, x_nmk, beta=a)
    return x_nmk


def _by_gram(x_nmk: Tensor, iterations: int) -> Tensor:
    """The same on x xᵀ alone, which is small: all factors are polynomials in it, so they commute and multiply up.

    Half the arithmetic at k = 4 m. Needs fp32: the squared singular values of bf16 gradients drown in its rounding.
    """
    a, b, c = QUINTIC
    gram_nmm = x_nmk @ x_nmk.mT
    identity_mm = torch.eye(gram_nmm.shape[-1], dtype=x_nmk.dtype, device=x_nmk.device)
    product_nmm = identity_mm.expand_as(gram_nmm)
    for i in range(iterations):
        factor_nmm = torch.baddbmm(gram_nmm, gram_nmm, gram_nmm, beta=b, alpha=c) + a * identity_mm
        product_nmm = factor_nmm @ product_nmm if i else factor_nmm
        if i < iterations - 1:
            gram_nmm = factor_nmm @ gram_nmm @ factor_nmm
    return product_nmm @ x_nmk
