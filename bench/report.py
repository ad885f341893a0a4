"""The table and the chart of a run."""

from bench.aims import AIMS

COLUMNS = ("cyxla", "jax", "floor")


def read(data):
    """{case: {implementation: median microseconds}}, in the order of measurement."""
    cases = {}
    for row in data["benchmarks"]:
        seconds = row["extra_info"].get("median_s", row["stats"]["median"])
        cases.setdefault(row["group"], {})[row["params"]["impl"]] = 1e6 * seconds / row["extra_info"].get("per", 1)
    return cases


def number(microseconds):
    if microseconds is None:
        return ""
    return f"{microseconds:,.2f}" if microseconds < 100 else f"{microseconds:,.0f}"


def ratio(times):
    return times["jax"] / times["cyxla"] if {"jax", "cyxla"} <= times.keys() else None


def table(cases):
    """One line a case: medians in microseconds, how many times as long jax takes, what neither can beat, the aim."""
    width = max(map(len, cases))
    lines = [f"{'median us':{width}}  {'cyxla':>10}  {'jax':>10}  {'jax/cyxla':>9}  {'floor':>10}  {'aim':>8}"]
    for case, times in cases.items():
        cyxla, jax, floor = (number(times.get(name)) for name in COLUMNS)
        aim = AIMS.get(case)
        met = "" if aim is None or "cyxla" not in times else " *" if times["cyxla"] <= aim else "  "
        faster = "" if ratio(times) is None else f"{ratio(times):.1f}x"
        aim = "" if aim is None else f"{aim:,}"
        lines.append(f"{case:{width}}  {cyxla:>10}  {jax:>10}  {faster:>9}  {floor:>10}  {aim:>8}{met}")
    lines.append("* at or under the aim")
    return "\n".join(lines)


def chart(cases, path):
    """A bar a case: how many times as long jax takes, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ratios = {case: ratio(times) for case, times in cases.items() if ratio(times)}
    if not ratios:
        return
    figure, axes = plt.subplots(figsize=(9, 1 + 0.28 * len(ratios)), layout="constrained")
    bars = axes.barh(
        list(ratios), list(ratios.values()), color=["tab:blue" if r >= 1 else "tab:red" for r in ratios.values()]
    )
    axes.bar_label(bars, [f"{r:.1f}x" for r in ratios.values()], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("time under jax / time under Cyxla")
    figure.savefig(path, dpi=120)
    plt.close(figure)
