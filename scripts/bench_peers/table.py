"""Statistics of runs, and their table."""

import statistics

from running import rate

HEADER = [
    "workload",
    "program",
    "env steps/s: median (least..most)",
    "÷ JAX",
    "Uphill ÷ this",
    "start-up, s",
    "cold env steps/s",
    "steps per run",
    "mean return",
]


def summary(runs):
    """Figures of one program on one workload, from its runs."""
    rates = [rate(run) for run in runs]
    means = [run["mean_return"] for run in runs if run["mean_return"] is not None]
    return {
        "env_steps_per_s": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "startup_s": statistics.median(run["cold_s"] - run["run_s"][0] for run in runs),
        "cold_env_steps_per_s": statistics.median(run["env_steps"] / run["cold_s"] for run in runs),
        "env_steps": runs[-1]["env_steps"],  # of all agents
        "mean_return": statistics.mean(means) if means else None,
        "runs": runs,
    }


def rounded(number):
    """Three significant digits, grouped: more would not be meaningful."""
    digits = max(0, len(str(int(number))) - 3)
    return f"{round(number, -digits):,.0f}"


def ratio(a, b):
    return f"{a / b:.2f}" if a < 10 * b else f"{a / b:.0f}"


def rows(results):
    """`results`: workload → program → summary. If there are several, the first Uphill and the last JAX count."""
    for workload, programs in results.items():
        rates = {name: found["env_steps_per_s"] for name, found in programs.items()}
        uphill = next((rate for name, rate in rates.items() if name.startswith("Uphill")), None)
        jax = next((rate for name, rate in reversed(rates.items()) if name.startswith("JAX")), None)
        for name, found in programs.items():
            mean = found["mean_return"]
            yield [
                workload,
                name,
                f"{rounded(rates[name])} ({rounded(found['least'])}..{rounded(found['most'])})",
                ratio(rates[name], jax) if jax else "–",
                ratio(uphill, rates[name]) if uphill else "–",
                f"{found['startup_s']:.2f}",
                rounded(found["cold_env_steps_per_s"]),
                f"{found['env_steps']:,}",
                "–" if mean is None else f"{mean:.1f}",
            ]


def table(results):
    """Markdown table with aligned columns."""
    lines = [HEADER, *rows(results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines
    )
