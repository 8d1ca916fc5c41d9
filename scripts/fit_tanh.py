#!/usr/bin/env python3
"""Fits the coefficients of crates/cpu/src/tanh.rs. Needs numpy.

tanh(x) = x P(x^2) / Q(x^2) on |x| <= LIMIT, beyond which tanh rounds to 1 in single precision. The
rational function is fitted to the relative error by least squares on Chebyshev nodes, reweighted
with the last denominator (Sanathanan & Koerner 1963) and towards the largest errors (Lawson 1961),
then rounded to single precision, in which the error is measured.
"""
import numpy as np

LIMIT = 9.02
DEGREES = (4, 4)


def evaluate(p, q, x):
    y = x * x
    return x * np.polyval(p[::-1], y) / np.polyval(q[::-1], y)


def fit(nodes=4000, rounds=200):
    k = np.arange(nodes)
    x = LIMIT * (0.5 + 0.5 * np.cos(np.pi * (k + 0.5) / nodes))
    t, y = np.tanh(x), x * x
    scale = LIMIT**2
    n, m = DEGREES
    powers = np.vander(y / scale, max(n, m) + 1, increasing=True)
    lawson, denominator, best = np.ones(nodes), np.ones(nodes), None
    for _ in range(rounds):
        weight = np.sqrt(lawson) / (denominator * t)
        # Solves x P - t Q = 0 with 1 as the constant term of Q.
        left = np.hstack([x[:, None] * powers[:, : n + 1], -t[:, None] * powers[:, 1 : m + 1]])
        solution = np.linalg.lstsq(left * weight[:, None], t * weight, rcond=None)[0]
        p, q = solution[: n + 1], np.concatenate([[1.0], solution[n + 1 :]])
        denominator = powers[:, : m + 1] @ q
        p, q = p / scale ** np.arange(n + 1), q / scale ** np.arange(m + 1)
        error = np.abs(evaluate(p, q, x) / t - 1)
        if best is None or error.max() < best[0]:
            best = (error.max(), p, q)
        lawson = lawson * (error / error.max() + 1e-3)
        lawson /= lawson.mean()
    return best


def single(p, q, x):
    """Evaluation in single precision, Horner's rule, rounding after each operation."""
    f = np.float32
    p, q = p.astype(f), q.astype(f)
    x = np.clip(x.astype(f), f(-LIMIT), f(LIMIT))
    y = x * x
    top, bottom = np.full_like(x, p[-1]), np.full_like(x, q[-1])
    for c in p[-2::-1]:
        top = top * y + c
    for c in q[-2::-1]:
        bottom = bottom * y + c
    return x * top / bottom


if __name__ == "__main__":
    error, p, q = fit()
    print("relative error before rounding", error)
    print("P", [float(np.float32(c)) for c in p])
    print("Q", [float(np.float32(c)) for c in q])
    x = np.concatenate([np.linspace(-12, 12, 2_000_001), np.logspace(-30, 1, 1_000_000)])
    exact = np.tanh(x.astype(np.float32).astype(np.float64))
    found = single(p, q, x).astype(np.float64)
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    nonzero = exact != 0
    print("largest error in ulp", np.max(np.abs(found - exact)[nonzero] / ulp[nonzero]))
    print("largest value", np.max(found))
